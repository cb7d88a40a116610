from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import HOOKS, VISUALIZERS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.io.schema import LUNG_WINDOW, SOFT_TISSUE_WINDOW
from mmlesion.visualization.sphere_slices import sphere_slices


def instances(rows, scores=None):
    spheres = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    found = InstanceData(bboxes=spheres, labels=torch.zeros(len(spheres), dtype=torch.long))
    if scores is not None:
        found.scores = torch.tensor(scores)
    return found


@pytest.fixture
def volume():
    """Lung above, soft tissue below."""
    hu = np.full((30, 40, 50), -800, np.int16)
    hu[20:] = 40
    return hu


@pytest.fixture
def sample():
    found = instances(
        [[8.5, 20, 30, 6], [26.0, 9, 9, 5], [2.0, 5, 5, 4], [11.5, 21, 31, 10]],
        [0.5, 0.9, 0.1, 0.4],
    )
    return DetDataSample(gt_instances=instances([[9.5, 20, 30, 10]]), pred_instances=found)


def test_slices_and_their_circles(volume, sample):
    first, second, third, fourth = sphere_slices(volume, sample)
    assert [one[0] for one in (first, second, third, fourth)] == [9, 26, 8, 11]
    number, hu, cut = first
    np.testing.assert_array_equal(hu, volume[9])
    assert cut.gt_instances.bboxes.tolist() == [[25, 15, 35, 25]]
    radii = 8**0.5, 21**0.5  # of a sphere of 3, 1 from the plane, and of 5, 2 from it
    expected = [[x - r, y - r, x + r, y + r] for x, y, r in zip((30, 31), (20, 21), radii)]
    np.testing.assert_allclose(cut.pred_instances.bboxes, expected, rtol=1e-6)
    np.testing.assert_allclose(cut.pred_instances.scores, [0.5, 0.4])
    assert cut.windows == [LUNG_WINDOW] and second[2].windows == [SOFT_TISSUE_WINDOW]
    assert len(second[2].gt_instances) == 0 and len(second[2].pred_instances) == 1


def test_options_and_nothing(volume, sample):
    assert [one[0] for one in sphere_slices(volume, sample, max_slices=2)] == [9, 26]
    assert len(list(sphere_slices(volume, sample, score_thr=0.05))) == 5
    empty = DetDataSample(pred_instances=instances([], []))
    assert list(sphere_slices(volume, empty)) == []
    beyond = DetDataSample(pred_instances=instances([[31.0, 9, 9, 0.1]], [0.9]))
    assert [one[0] for one in sphere_slices(volume, beyond, score_thr=0.5)] == [29]


def test_pictures_of_a_test(volume, sample, tmp_path):
    np.save(tmp_path / 'volume.npy', volume)
    sample.set_metainfo(dict(volume_path=str(tmp_path / 'volume.npy'), series_uid='1.2.3'))
    options = dict(type='LesionLocalVisualizer', name='spheres', save_dir=str(tmp_path))
    visualizer = VISUALIZERS.build(options)
    visualizer.dataset_meta = dict(classes=('nodule',), palette=[(0, 255, 0)])
    hook = HOOKS.build(dict(type='LesionVisualizationHook', draw=True, test_out_dir='show'))
    hook._visualizer = visualizer
    runner = SimpleNamespace(work_dir=str(tmp_path), timestamp='now', iter=0)
    hook.after_test_iter(runner, 0, None, [sample])
    hook.after_val_iter(runner, 0, None, [sample])
    pictures = sorted((tmp_path / 'now/show').iterdir())
    assert [path.name for path in pictures] == [f'1.2.3_{z:03d}.png' for z in (8, 9, 11, 26)]
    drawn = cv2.imread(str(pictures[1]))
    assert np.ptp(drawn, axis=-1).max() > 100, 'boxes are in color'
