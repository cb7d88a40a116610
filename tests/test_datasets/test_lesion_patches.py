import os

import numpy as np
import pytest
from mmdet.registry import DATASETS, TRANSFORMS

from mmlesion.datasets.patch_datasets import group_lesions
from mmlesion.io.slices import slice_path


def lesion(patient, study, place=None, number=1, kind=-1, **extra):
    found = {} if place is None else dict(normalized_location=place)
    path = f'{patient}_{study}/{number:03d}.png'
    keys = dict(patient_id=patient, study_id=study, series_id=1, lesion_type=kind)
    return dict(keys, img_path=path, **found, **extra)


def test_groups_by_place_type_and_lesion_id():
    samples = [
        lesion(1, 1, (0.5, 0.5, 0.5), kind=4),
        lesion(1, 2, (0.52, 0.5, 0.5)),
        lesion(1, 3, (0.54, 0.5, 0.5), kind=4),  # near to the second alone
        lesion(1, 4, (0.5, 0.5, 0.5), kind=2),  # of another type than the first
        lesion(2, 1, (0.5, 0.5, 0.5)),
        lesion(2, 1, (0.51, 0.5, 0.5)),  # beside it on the same slice
        lesion(3, 1, number=1, lesion_id=9),
        lesion(3, 1, number=2, lesion_id=9),
        lesion(3, 2, number=2, lesion_id=9),  # ids are a series' own
    ]
    groups = group_lesions(samples)
    # an untyped one may be of either type's lesion, and joins both
    assert len(set(groups[:4])) == 1
    assert len(set(groups[4:6])) == 2
    assert groups[6] == groups[7] != groups[8]
    assert group_lesions(samples, max_distance=0.01)[:2] != groups[:2]


def test_no_patient_no_group():
    samples = [dict(lesion(1, 1, (0.5, 0.5, 0.5), number=n), patient_id=None) for n in (1, 2)]
    assert len(set(group_lesions(samples))) == 2


@pytest.fixture
def config(ramp_dataset):
    image = ramp_dataset.add_image(interval=2.0)
    ramp_dataset.add_lesion(image['id'], [4, 4, 20, 16], lesion_type=4)
    ramp_dataset.add_lesion(image['id'], [20, 10, 8, 8], lesion_type=-1)
    ramp_dataset.add_lesion(image['id'], [1, 1, 8, 8], noisy=1)
    return dict(
        type='LesionPatchDataset',
        ann_file=str(ramp_dataset.write()),
        data_prefix=dict(img=str(ramp_dataset.images_dir)),
    )


def test_a_sample_a_lesion(config):
    dataset = DATASETS.build(config)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [s['instances'][0]['bbox'] for s in samples] == [[4, 4, 24, 20], [20, 10, 28, 18]]
    assert [s['lesion_type'] for s in samples] == [4, -1]
    assert len({s['lesion_group'] for s in samples}) == 2


def test_patch_is_centered_and_padded_with_air(config, ramp):
    pipeline = [
        dict(type='LoadCTSlices', num_slices=1),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='CropLesionPatch', size=12),
    ]
    result = DATASETS.build(dict(config, pipeline=pipeline))[1]
    image = ramp(6)
    expected = np.full((12, 12), image.min())
    expected[:, :12] = image[8:20, 18:30]
    np.testing.assert_array_equal(result['img'][..., 0], expected)
    assert result['gt_bboxes'].tensor.tolist() == [[2, 2, 10, 10]]
    wide = DATASETS.build(
        dict(config, pipeline=[*pipeline[:2], dict(type='CropLesionPatch', size=40)])
    )[1]
    assert wide['img'].shape == (40, 40, 1)
    # the center (24, 14) is px (20, 20) of the patch
    np.testing.assert_array_equal(wide['img'][6:30, :28, 0], image[:, 4:32])
    assert (wide['img'][:6] == image.min()).all() and (wide['img'][:, 28:] == image.min()).all()


def test_nearby_slices_stay_within_reach(config, ramp):
    sample = DATASETS.build(config).get_data_info(0)
    # half of 16 px of 0.8 mm is 6.4 mm: 0.7 of it are two slices of 2 mm
    transform = TRANSFORMS.build(dict(type='LoadNearbyCTSlices', num_slices=1, reach=0.7))
    np.random.seed(0)
    seen = set()
    for _ in range(60):
        result = transform.transform(dict(sample))
        seen.add(result['slice_index'])
        expected = ramp(result['slice_index'])
        np.testing.assert_array_equal(result['img'][..., 0], expected)
    assert seen == {4, 5, 6, 7, 8}
    fixed = TRANSFORMS.build(dict(type='LoadNearbyCTSlices', num_slices=1, reach=0))
    assert fixed.transform(dict(sample))['slice_index'] == 6


def test_missing_slices_are_stepped_over(config):
    sample = DATASETS.build(config).get_data_info(0)
    transform = TRANSFORMS.build(dict(type='LoadNearbyCTSlices', num_slices=1, reach=0.7))
    for number in 5, 8:
        os.remove(slice_path(sample, number))
    np.random.seed(0)
    seen = {transform.transform(dict(sample))['slice_index'] for _ in range(60)}
    assert seen == {4, 6, 7}
