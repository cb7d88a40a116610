"""The rules together, on proposals and embeddings written by hand."""

import json
from functools import partial

import numpy as np
import pytest
from mmdet.registry import DATASETS

from mmlesion.io.slices import list_series
from mmlesion.io.true_masks import read_lesions
from mmlesion.mining import AnnotationMiner, VolumeStore
from mmlesion.mining.annotations import annotated_boxes
from mmlesion.mining.report import COUNTS, annotated_lesions, count_rows, score_rows
from mmlesion.utils import UserError

LESION = [10, 10, 20, 20]
WITHHELD = [40, 30, 50, 40]


def arrays(rows, group='pooled'):
    boxes, slices, scores = zip(*rows)
    columns = np.array(boxes, float), np.array(slices), np.array(scores)
    names = (f'{group}_{name}' for name in ('boxes', 'slices', 'scores'))
    return dict(zip(names, columns))


@pytest.fixture
def mined(two_studies):
    """Mine the two studies by a function of the miner's options; gives the COCO content."""
    proposals = VolumeStore(two_studies / 'proposals', 'a')
    embeddings = VolumeStore(two_studies / 'embeddings', 'a')
    lesion = [(LESION, number, 0.9) for number in (4, 5, 6)]
    first = arrays([*lesion, (WITHHELD, 2, 0.4)])
    # the LUNA16 expert's second box is the lesion's, and DeepLesion's own do not count
    first |= arrays([(WITHHELD, 2, 0.8), (LESION, 5, 0.9), (WITHHELD, 2, 0.7)], 'expert')
    first['expert_index'] = np.array([1, 1, 0])
    proposals.save('000001_01_01', first)
    second = arrays(lesion) | arrays([(LESION, 9, 0.9), (WITHHELD, 9, 0.4)], 'expert')
    proposals.save('000001_02_01', second | dict(expert_index=np.array([1, 1])))
    # the annotation, then the withheld lesion's tracklet; the other study's tracklet
    embeddings.save('000001_01_01', dict(embeddings=np.eye(2)))
    embeddings.save('000001_02_01', dict(embeddings=np.array([[0.95, 0.0]])))

    def mine(**options):
        coco = json.loads((two_studies / 'train.json').read_text())
        volumes = list_series(coco, two_studies / 'images')
        options = dict(single_type={1: 'luna16'}, embeddings=embeddings) | options
        AnnotationMiner(coco, proposals, **options).run(volumes)
        return coco

    return mine


def found(coco, source):
    slices = {image['id']: image['file_name'] for image in coco['images']}
    return [(slices[a['image_id']], a) for a in coco['annotations'] if a['source'] == source]


def test_propagation(mined):
    coco = mined(rules=('propagation',))
    names, annotations = zip(*found(coco, 'propagation'))
    assert names == ('000001_01_01/004.png', '000001_01_01/006.png')
    lesion_id = coco['annotations'][0]['lesion_id']
    for annotation in annotations:
        assert annotation['bbox'] == [10, 10, 10, 10] and annotation['score'] == 0.9
        assert annotation['lesion_id'] == lesion_id and annotation['lesion_type'] == 4
    assert coco['annotations'][0]['source'] == 'annotated'
    ids = [a['id'] for a in coco['annotations']]
    assert len(set(ids)) == len(ids) and len(coco['images']) == 4


def test_mined_boxes_have_the_frame_of_their_file(mined, two_studies):
    """With pixel centers at whole numbers the same lesion's box begins half a pixel lower."""
    path = two_studies / 'train.json'
    coco = json.loads(path.read_text())
    for image in coco['images']:
        image['pixel_center'] = 0.0
    for annotation in coco['annotations']:
        annotation['bbox'] = [value - 0.5 for value in annotation['bbox'][:2]] + [10, 10]
    path.write_text(json.dumps(coco))
    done = mined(rules=('propagation',))
    assert [a['bbox'] for _, a in found(done, 'propagation')] == [[9.5, 9.5, 10, 10]] * 2
    assert all(image['pixel_center'] == 0 for image in done['images'])
    (volume, _) = list_series(coco, two_studies / 'images')
    boxes = annotated_boxes(volume.images.values(), volume.annotations)
    np.testing.assert_allclose(boxes.boxes, [LESION])


def test_matching_across_studies(mined):
    coco = mined(rules=('matching',))
    names, annotations = zip(*found(coco, 'matching'))
    assert names == tuple(f'000001_02_01/00{number}.png' for number in (4, 5, 6))
    assert len({a['lesion_id'] for a in annotations}) == 1
    assert annotations[0]['lesion_id'] not in {a['lesion_id'] for a in coco['annotations'][:2]}
    assert {(a['matched_id'], a['distance']) for a in annotations} == {(3, 0.05)}
    assert not found(mined(rules=('matching',), max_distance=0.05), 'matching')


def test_lesions_with_names(two_studies):
    """As LIDC-IDRI's, of which the id is a text; a lesion without one gets a number."""
    coco = json.loads((two_studies / 'train.json').read_text())
    coco['annotations'][0]['lesion_id'] = '1.3.6:0'
    proposals = VolumeStore(two_studies / 'proposals', 'a')
    for study in (1, 2):
        lesion = [(LESION, number, 0.9) for number in (4, 5)]
        proposals.save(f'000001_0{study}_01', arrays(lesion))
    miner = AnnotationMiner(coco, proposals, ('propagation',))
    miner.run(list_series(coco, two_studies / 'images'))
    assert [a['lesion_id'] for a in coco['annotations']] == ['1.3.6:0', 1, '1.3.6:0']


def test_cross_dataset_on_listed_slices_alone(mined):
    coco = mined()
    assert not found(coco, 'cross_dataset') and len(coco['images']) == 6
    everywhere = mined(unlabeled=True)
    names, annotations = zip(*found(everywhere, 'cross_dataset'))
    assert names == ('000001_01_01/002.png', '000001_02_01/009.png')
    assert all(a['ignore'] == 1 and a['expert'] == 'luna16' for a in annotations)
    assert len(everywhere['images']) == 20


def test_counts(mined):
    coco = mined(unlabeled=True)
    rows = count_rows(coco, ('propagation', 'matching', 'cross_dataset'), unlabeled=True)
    assert [list(row.values()) for row in rows] == [
        ['no mining', 1, 1, 0, 1],
        ['+ propagation', 1, 3, 0, 3],
        ['+ matching', 2, 6, 0, 6],
        ['+ cross_dataset', 2, 6, 0, 6],
        ['+ unlabeled', 2, 6, 2, 20],
    ]


def test_against_the_truth(mined, tmp_path):
    """With masks 10 px narrower than boxes: DeepLesion pads its boxes by 5 px."""
    for study in (1, 2):
        labels = np.zeros((10, 60, 60), np.uint8)
        labels[3:5, 15:16, 15:16] = 1  # not on slice 6, where a box is mined
        if study == 1:
            labels[1, 35, 45] = 2
        path = tmp_path / f'00000{1}_0{study}_01.npz'
        np.savez(path, labels=labels, slices=np.arange(1, 11))
    rules = ('propagation', 'matching', 'cross_dataset')
    read_truth = partial(read_lesions, tmp_path)
    rows = {row['rule']: row for row in score_rows(mined(unlabeled=True), rules, read_truth)}
    names = ('boxes', 'right', 'missing', 'found', 'withheld', 'withheld_found')
    values = {rule: [row[name] for name in names] for rule, row in rows.items()}
    # missing: slice 4 and the second lesion of study 1; slices 4 and 5 of study 2
    assert values['propagation'] == [2, 1, 4, 1, 2, 0]
    assert values['matching'] == [3, 2, 4, 2, 2, 1]
    assert values['cross_dataset'] == [2, 1, 4, 1, 2, 1]
    assert rows['matching']['precision'] == round(2 / 3, 4)
    assert rows['matching']['recall'] == 0.5


def test_against_an_annotation_file(mined):
    """The first study's lesion is on slices 4 and 5, on 6 ignored; the second's on 5 alone."""
    images, annotations = [], []
    for study, number in [(1, 4), (1, 5), (1, 6), (2, 5)]:
        name = f'000001_0{study}_01/{number:03}.png'
        image = dict(id=10 * study + number, file_name=name, height=60, width=60)
        ignore = int(number == 6)
        images.append(image)
        box = dict(bbox=[10, 10, 10, 10], lesion_id=study, ignore=ignore)
        annotations.append(dict(box, id=image['id'], image_id=image['id']))
    lesions = annotated_lesions(dict(images=images, annotations=annotations))
    assert lesions['000001_01_01'].label.tolist() == [0, 0]
    assert lesions['000001_01_01'].boxes.boxes.tolist() == [[10, 10, 20, 20]] * 2
    (row,) = score_rows(mined(rules=('propagation',)), ['propagation'], lesions.get)
    # of the boxes on slices 4 and 6, the first is a lesion's; the second study's has none
    assert [row[name] for name in COUNTS] == [2, 1, 2, 1, 1, 0]


def test_the_dataset_takes_it(mined, two_studies):
    (two_studies / 'mined.json').write_text(json.dumps(mined(unlabeled=True)))
    dataset = DATASETS.build(
        dict(
            type='CTSliceDataset',
            ann_file=str(two_studies / 'mined.json'),
            data_prefix=dict(img=str(two_studies / 'images')),
        )
    )
    flags = {
        tuple(instance['bbox']): instance['ignore_flag']
        for index in range(len(dataset))
        for instance in dataset.get_data_info(index)['instances']
    }
    assert flags[(40, 30, 50, 40)] == 1 and flags[(10, 10, 20, 20)] in (0, 1)
    certain = [
        dataset.get_data_info(index)['lesion_ids']
        for index in range(len(dataset))
        if dataset.get_data_info(index)['lesion_ids']
    ]
    assert len(certain) == 6


def test_matching_needs_embeddings(mined):
    with pytest.raises(UserError, match="'matching' compares embeddings"):
        mined(embeddings=None)
    assert mined(rules=['propagation'], embeddings=None)['annotations']


def test_propagation_between_slices_that_are_far_apart(two_studies):
    """A ball's sections at 5 mm are linked by those between them; the file gets its own slices."""
    coco = json.loads((two_studies / 'train.json').read_text())
    half = [3.0, 4.0, 5.0, 4.0, 3.0, 2.3]  # px, at 4, 4.5, 5 and so on
    positions = 4 + np.arange(6) / 2
    boxes = [[15 - side, 15 - side, 15 + side, 15 + side] for side in half]
    # the last one, between slices 6 and 7 alone, is another's
    rows = [*zip(boxes, positions, [0.9] * 6), ([40, 40, 50, 50], 6.5, 0.8)]
    proposals = VolumeStore(two_studies / 'proposals', 'a')
    proposals.save('000001_01_01', arrays(rows) | dict(grid_steps=np.array([2, 2])))
    proposals.save('000001_02_01', {})
    AnnotationMiner(coco, proposals, ('propagation',)).run(
        list_series(coco, two_studies / 'images')
    )
    mined = found(coco, 'propagation')
    assert [name[-7:-4] for name, _ in mined] == ['004', '006']
    assert [annotation['bbox'] for _, annotation in mined] == [[12, 12, 6, 6]] * 2
