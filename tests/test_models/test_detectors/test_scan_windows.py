"""AggregatedRCNN3D on whole scans, in windows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmlesion.structures.spheres import SphereBoxes

FOLDER = Path(__file__).parents[3] / 'configs' / 'phantom' / '_base_' / 'models'
SHAPE = (40, 33, 33)


def build(roi_head='fprn', **window):
    cfg = Config.fromfile(FOLDER / 'aggregated_rcnn3d_small.py')
    cfg.model.roi_head = cfg[roi_head]
    cfg.model.test_cfg.rpn.score_thr = 0.0
    cfg.model.test_cfg.window = window or None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.eval()


@pytest.fixture
def scan(tmp_path):
    """Random HU in a mapped file."""
    values = np.random.default_rng(0).integers(-1000, 300, SHAPE).astype(np.int16)
    np.save(tmp_path / 'scan.npy', values)
    return torch.from_numpy(np.load(tmp_path / 'scan.npy', mmap_mode='c'))[None]


def test_one_window_is_the_whole_scan(scan):
    whole = build().detect_scan(scan)
    window = build(size=(128, 128, 128), overlap=32).detect_scan(scan)
    assert len(whole) == len(window) > 0
    for key in ('bboxes', 'scores', 'level', 'rpn_scores', 'fprn_scores'):
        torch.testing.assert_close(window[key], whole[key])


def test_windows_and_their_batches(scan):
    """Every window's detections come back in voxels of the scan, whatever the batches are."""
    options = dict(size=(32, 32, 32), overlap=16, border=0, iou_threshold=1.0, max_per_img=10**6)
    model = build(**options)
    found = model.detect_scan(scan)
    starts, size = model.windows.place(SHAPE)
    assert size == (32, 32, 32) and len(starts) == 2 * 2 * 2
    expected = []
    for start in starts.tolist():
        crop = model.windows.cut(scan, start, size, 0)
        (results,) = model._detect_crops([crop])
        expected.append(results.bboxes + torch.tensor([*start, 0]))
    expected = torch.cat(expected)
    expected = expected[(expected[:, :3] < torch.tensor(SHAPE)).all(1)]  # not in the padding
    assert 0 < len(expected) < 800
    assert len(found) == len(expected)
    order = [torch.from_numpy(np.lexsort(b.numpy().T)) for b in (found.bboxes, expected)]
    torch.testing.assert_close(found.bboxes[order[0]], expected[order[1]])
    batched = model.detect_scan(scan, batch_size=5)
    torch.testing.assert_close(batched.scores, found.scores)
    torch.testing.assert_close(batched.bboxes.sum(0), found.bboxes.sum(0))


def test_progress_sees_the_batches(scan):
    seen = []

    def progress(batches):
        seen.append(len(batches))
        return iter(batches)

    build(size=(32, 32, 32), overlap=16).detect_scan(scan, batch_size=3, progress=progress)
    assert seen == [3]


def test_steps(scan):
    model = build('magnified_fprn', size=(32, 32, 32), overlap=16, max_per_img=9)
    truth = InstanceData(
        bboxes=SphereBoxes([[9.0, 9, 9, 5]]), labels=torch.zeros(1, dtype=torch.long)
    )
    sample = DetDataSample(gt_instances=truth, metainfo=dict(series_uid='1.2'))
    before = scan.clone()
    (found,) = model.val_step(dict(inputs=[scan], data_samples=[sample]))
    assert found.series_uid == '1.2' and len(found.pred_instances) == 9
    assert found.pred_instances.scores.diff().le(0).all()
    assert isinstance(found.gt_instances.bboxes, torch.Tensor)
    assert torch.equal(scan, before), 'the scan is not changed'


def test_only_windows_reach_the_network(scan, monkeypatch):
    """What is windowed as floats, and seen by the network, has the size of a batch of windows."""
    model = build(size=(32, 32, 32), overlap=16)
    sizes = []
    window = model.data_preprocessor.window

    def recorded(volumes):
        sizes.append((tuple(volumes.shape), volumes.dtype))
        return window(volumes)

    monkeypatch.setattr(model.data_preprocessor, 'window', recorded)
    model.test_step(dict(inputs=[scan], data_samples=[DetDataSample()]))
    assert set(sizes) == {((1, 1, 32, 32, 32), torch.int16)} and len(sizes) == 8


def test_misspelled_options_are_refused():
    with pytest.raises(TypeError, match='overlaps'):
        build(overlaps=3)
