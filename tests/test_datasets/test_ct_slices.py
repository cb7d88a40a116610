import json
import logging
from pathlib import Path
from unittest.mock import patch

import pytest
from mmdet.registry import DATASETS

from mmlesion.datasets import CTSliceDataset, ct_slices
from mmlesion.io.coco import coco_ground_truth
from mmlesion.utils import UserError

KEY_SLICES = Path(__file__).parents[3] / 'shared/data/deeplesion'


@pytest.fixture
def two_images(ramp_dataset):
    ramp_dataset.add_image()
    ramp_dataset.add_image(key=4, interval=5.0)
    ramp_dataset.add_lesion(1, [4, 5, 10, 8])
    ramp_dataset.add_lesion(1, [1, 1, 6, 6], noisy=1)
    return ramp_dataset


def build(data, **kwargs):
    data.write()
    return CTSliceDataset(
        ann_file='train.json',
        data_root=str(data.root),
        data_prefix=dict(img='Images_png/'),
        **kwargs,
    )


def test_ct_fields_and_boxes(two_images):
    info = build(two_images).get_data_info(0)
    assert info['img_path'] == str(two_images.images_dir / '000001_01_02/006.png')
    assert (info['img_id'], info['height'], info['width']) == (1, 24, 32)
    assert (info['spacing'], info['slice_interval']) == ([0.8, 0.8], 2.0)
    assert (info['slice_index'], info['slice_range']) == (6, [3, 9])
    assert info['windows'] == [[-600.0, 200.0]]
    assert (info['patient_id'], info['study_id'], info['series_id']) == (1, 1, 2)
    boxes = [(i['bbox'], i['bbox_label'], i['ignore_flag']) for i in info['instances']]
    assert boxes == [([4, 5, 14, 13], 0, 0), ([1, 1, 7, 7], 0, 1)]


def test_ignored_boxes_are_kept_apart(two_images):
    two_images.add_lesion(2, [2, 2, 9, 9], ignore=True)
    instances = build(two_images).get_data_info(1)['instances']
    assert [i['ignore_flag'] for i in instances] == [1]


@pytest.mark.parametrize('flag', ['ignore', 'noisy'])
def test_marks_of_a_lesion_are_tested_with_and_not_trained_with(two_images, flag):
    two_images.add_lesion(1, [5, 6, 8, 8], **{flag: 1})  # center 9, 10 in that of 4, 5 to 14, 13
    two_images.add_lesion(1, [10, 10, 9, 9], **{flag: 1})  # over it, center 14.5, 14.5 beside it
    (trained, tested) = (
        [(i['bbox'], i['ignore_flag']) for i in build(two_images, test_mode=mode)[0]['instances']]
        for mode in (False, True)
    )
    known = [([4, 5, 14, 13], 0), ([1, 1, 7, 7], 1)]
    assert trained == [*known, ([10, 10, 19, 19], 1)]
    assert tested == [*known, ([5, 6, 13, 14], 1), ([10, 10, 19, 19], 1)]


def test_filter_indices_and_test_mode(two_images):
    assert [d['img_id'] for d in build(two_images)] == [1, 2]
    filtered = build(two_images, filter_cfg=dict(filter_empty_gt=True))
    assert [d['img_id'] for d in filtered] == [1]
    assert [d['img_id'] for d in build(two_images, test_mode=True, indices=[1])] == [2]


def test_sub_volumes_have_slices_between_those_that_are_far_apart(ramp_dataset):
    for key, name, interval in (
        (5, 'thick', 5.0),
        (6, 'thick', 5.0),
        (7, 'other', 5.0),
        (8, 'thin', 2.0),
        (9, 'thin', 2.0),
    ):
        ramp_dataset.add_image(key=key, interval=interval)['sub_volume'] = name
    ramp_dataset.add_lesion(1, [4, 5, 10, 8])
    options = dict(test_mode=True, max_interval=2.0)
    infos = list(build(ramp_dataset, **options))
    positions = [5, 5 + 1 / 3, 5 + 2 / 3, 6, 7, 8, 9]
    assert [info['slice_index'] for info in infos] == pytest.approx(positions)
    assert [info['img_id'] for info in infos] == [1, 1, 1, 2, 3, 4, 5]
    assert [info['grid_steps'] for info in infos] == [3, 3, 3, 3, 3, 1, 1]
    assert [len(info['instances']) for info in infos] == [1, 0, 0, 0, 0, 0, 0]
    # neither in training nor where slices are tested one by one
    assert len(build(ramp_dataset, max_interval=2.0)) == 5
    for image in ramp_dataset.content['images']:
        del image['sub_volume']
    assert len(build(ramp_dataset, **options)) == 5


def test_multi_type(two_images):
    names = ['bone', 'abdomen', 'liver']
    two_images.content['categories'] = [dict(id=i + 1, name=n) for i, n in enumerate(names)]
    two_images.content['annotations'][0]['category_id'] = 3
    dataset = build(two_images, metainfo=dict(classes=tuple(names)))
    assert dataset.get_data_info(0)['instances'][0]['bbox_label'] == 2
    assert len(dataset.metainfo['palette']) >= 8


def test_is_registered_with_mmdet():
    assert DATASETS.get('CTSliceDataset') is CTSliceDataset


LESION = '[{"id": 1, "name": "lesion"}]'


@pytest.mark.parametrize(
    'content, message',
    [
        ('{"images": [', 'is not valid JSON'),
        ('', 'is not valid JSON'),
        ('[]', 'needs lists "images" and "annotations"'),
        ('{"images": [], "annotations": [], "categories": []}', 'lists no images'),
        (f'{{"images": [{{"id": 1}}], "annotations": [], "categories": {LESION}}}', "'file_name'"),
    ],
)
def test_bad_annotation_file(tmp_path, content, message):
    (tmp_path / 'train.json').write_text(content)
    with pytest.raises(UserError, match=message) as error:
        CTSliceDataset(
            ann_file='train.json', data_root=str(tmp_path), data_prefix=dict(img='Images_png/')
        )
    assert str(tmp_path / 'train.json') in str(error.value)


def test_missing_annotation_file(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        CTSliceDataset(ann_file='train.json', data_root=str(tmp_path), data_prefix=dict(img=''))


def test_missing_image_folder(two_images):
    two_images.write()
    with pytest.raises(UserError, match='data_prefix'):
        CTSliceDataset(ann_file='train.json', data_root=str(two_images.root))


def test_wrong_classes(two_images):
    with pytest.raises(UserError, match='only 0 of the classes nodule'):
        build(two_images, metainfo=dict(classes=('nodule',)))


def test_nothing_left_by_the_filter(two_images):
    with pytest.raises(UserError, match='leaves none of the 2 slices'):
        build(two_images, filter_cfg=dict(filter_empty_gt=True, min_size=100))


DENSE = [dict(type='LesionMasksToSegMap')]


@pytest.mark.parametrize('segmentation', [None, [[]], [[1, 1, 9, 9]]])
def test_dense_supervision_without_any_mask(two_images, segmentation):
    for lesion in two_images.content['annotations']:
        lesion['segmentation'] = segmentation
    # that of an ignored box is none
    two_images.content['annotations'][1]['segmentation'] = [[1, 1, 6, 1, 6, 6]]
    with pytest.raises(UserError, match='none of the 1 lesions of .*train.json has one'):
        build(two_images, pipeline=DENSE)
    build(two_images)  # which no other pipeline minds


def test_dense_supervision_counts_lesions_without_a_mask(two_images):
    two_images.add_lesion(2, [4, 5, 10, 8], segmentation=[[4, 5, 14, 5, 14, 13]])
    with patch.object(ct_slices, 'print_log') as log:
        build(two_images, pipeline=DENSE)
    assert log.call_args.args[0].startswith('1 of 2 lesions of')
    with patch.object(ct_slices, 'print_log') as log:
        two_images.content['annotations'][0]['segmentation'] = [[4, 5, 14, 5, 14, 13]]
        build(two_images, pipeline=DENSE)
    assert not any('no mask' in call.args[0] for call in log.call_args_list)


def test_mmdets_masks_are_needed_of_each_annotation(two_images):
    masks = [dict(type='LoadAnnotations', with_mask=True)]
    with pytest.raises(UserError, match='2 of 2 annotations .* take LoadLesionAnnotations'):
        build(two_images, pipeline=masks)
    build(two_images, pipeline=[dict(masks[0], type='LoadLesionAnnotations')])


def test_boxes_whose_area_was_not_measured_are_trained_with(two_images):
    two_images.content['annotations'][0]['area'] = 0
    two_images.add_lesion(2, [2, 2, 9, 9])
    del two_images.content['annotations'][-1]['area']
    trained = [[i['ignore_flag'] for i in d['instances']] for d in build(two_images)]
    assert trained == [[0, 1], [0]]


LOST = {
    'less than 1 px wide or high': [[4, 5, 0.9, 8], [4, 5, 10, 0], [4, 5, -3, 8]],
    'outside of their image': [[32, 5, 3, 3], [-4, 5, 4, 3], [5, 24.5, 3, 3]],  # 32 x 24 px
}


@pytest.mark.parametrize('reason', LOST)
def test_boxes_that_vanish_are_counted(two_images, reason):
    for box in LOST[reason]:
        two_images.add_lesion(1, box)
    with patch.object(ct_slices, 'print_log') as log:
        dataset = build(two_images)
    message, _, level = log.call_args.args
    assert level == logging.WARNING
    assert message.startswith('1 of 5 annotations of ')
    assert message.endswith(f'to train with: 3 {reason}, 1 iscrowd, ignore or noisy')
    # what mmdet has left is what was counted
    instances = [i for sample in dataset for i in sample['instances']]
    assert [i['ignore_flag'] for i in instances] == [0, 1]
    del two_images.content['annotations'][0]
    with pytest.raises(UserError, match=f'leaves no lesion to train with: .* 3 {reason}, 1 is'):
        build(two_images)
    build(two_images, test_mode=True)


def test_flags_alone_are_no_cause_for_a_warning(two_images):
    with patch.object(ct_slices, 'print_log') as log:
        build(two_images)
    assert log.call_args.args[2] == logging.INFO


def test_annotations_that_are_listed_twice(two_images):
    two_images.add_lesion(1, [4, 5, 10, 8])
    with patch.object(ct_slices, 'print_log') as log:
        build(two_images)
    message, _, level = log.call_args.args
    assert level == logging.WARNING and '1 are listed twice' in message


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda c: c['images'][1].update(id=1), 'two images have the same id'),
        (lambda c: c['annotations'][0].update(image_id=7), 'images that are not listed: 7'),
        (lambda c: c['annotations'][0].update(iscrowd='0'), 'annotation 0 .* "iscrowd": Expected'),
        (lambda c: c['annotations'][1].update(noisy='false'), 'annotation 1 .* "noisy": Expected'),
        (lambda c: c['annotations'][1].update(ignore=[]), 'annotation 1 .* "ignore": Expected'),
        (lambda c: [a.update(ignore=1) for a in c['annotations']], 'no lesion to train with'),
    ],
)
def test_what_evaluation_refuses_training_refuses_too(two_images, change, message):
    change(two_images.content)
    with pytest.raises(UserError, match=message):
        build(two_images)
    path = two_images.write()
    if 'train' not in message:
        with pytest.raises(UserError, match=message):
            coco_ground_truth(json.loads(path.read_text()), path)


def test_a_byte_order_mark(two_images):
    path = two_images.write()
    two_images.write = lambda: path.write_text(json.dumps(two_images.content), 'utf-8-sig')
    assert len(build(two_images)) == 2


def test_paths_stay_under_the_root(two_images):
    two_images.content['images'][0]['file_name'] = '../../secret.png'
    with pytest.raises(UserError, match='leads outside'):
        build(two_images)


@pytest.mark.skipif(not KEY_SLICES.is_dir(), reason=f'{KEY_SLICES} is not there')
def test_published_annotations():
    dataset = CTSliceDataset(
        ann_file=str(KEY_SLICES / 'key_slices_coco.json'),
        data_prefix=dict(img=str(KEY_SLICES / 'key_slices')),
    )
    with open(KEY_SLICES / 'key_slices_coco.json') as file:
        content = json.load(file)
    assert len(dataset) == len(content['images']) == 40
    assert Path(dataset.get_data_info(0)['img_path']).is_file()


def test_samples_name_their_dataset(two_images):
    assert build(two_images, dataset_name='lits').get_data_info(0)['dataset_name'] == 'lits'
    plain = build(two_images)
    assert 'dataset_name' not in plain.get_data_info(0)
    # what a model saves of its data is the same, whatever the name
    assert build(two_images, dataset_name='lits').metainfo == plain.metainfo


def test_lesions_on_several_slices(two_images):
    two_images.add_lesion(1, [2, 2, 9, 9], lesion_id='b')
    two_images.add_lesion(1, [12, 2, 9, 9], lesion_id='b')
    two_images.add_lesion(1, [2, 12, 9, 9], lesion_id='a')
    two_images.add_lesion(1, [12, 12, 9, 9], lesion_id='c', ignore=1)
    dataset = build(two_images)
    assert dataset.get_data_info(0)['lesion_ids'] == ['b', 'a']
    assert dataset.get_data_info(1)['lesion_ids'] == []


def test_pictures_of_eight_bits_are_no_slices(ramp_dataset):
    ramp_dataset.add_lesion(ramp_dataset.add_image()['id'], [4, 4, 8, 8])
    ramp_dataset.write()
    cfg = dict(
        type='CTSliceDataset',
        data_root=f'{ramp_dataset.root}/',
        ann_file='train.json',
        data_prefix=dict(img='Images_png/'),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    with pytest.raises(UserError, match='LoadImageFromFile reads slices as 8 bits'):
        DATASETS.build(cfg)
