"""The way of DeepLesion's own files from the list to the FROC."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.structures import InstanceData

ROOT = Path(__file__).parents[2]
MINI = ROOT.parent / 'shared' / 'data' / 'deeplesion_mini'
pytestmark = pytest.mark.skipif(not MINI.is_dir(), reason=f'no real slices in {MINI}')


@pytest.fixture(scope='module')
def config(tmp_path_factory, run_tool):
    """A config of 23 genuine key slices, which the converter has read."""
    root = tmp_path_factory.mktemp('mini')
    arguments = [MINI / 'DL_info.csv', '--images', MINI / 'Images_png', '--out', root, '--strict']
    run_tool('dataset_converters/deeplesion.py', *arguments)
    (root / 'Images_png').symlink_to(MINI / 'Images_png')
    path = root / 'config.py'
    bases = [
        str(ROOT / f'configs/_base_/{n}.py') for n in ('default_runtime', 'datasets/deeplesion')
    ]
    path.write_text(
        f'_base_ = {bases}\n'
        f'val_dataloader = dict(dataset=dict(data_root={str(root)!r}))\n'
        f'val_evaluator = dict(ann_file={str(root / "val.json")!r})\n'
    )
    return path


def test_perfect_detections_are_perfect_as_the_file_has_them(config, run_tool, tmp_path):
    cfg = Config.fromfile(config)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    metric = METRICS.build(dict(cfg.val_evaluator, outfile_prefix=str(tmp_path / 'froc')))
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        sample = item['data_samples']
        boxes = sample.gt_instances.bboxes.tensor
        scores = torch.ones(len(boxes))
        sample.pred_instances = InstanceData(
            bboxes=boxes, scores=scores, labels=torch.zeros(len(boxes), dtype=torch.long)
        )
        metric.process({}, [sample.to_dict()])
    found = metric.evaluate(len(dataset))
    assert len(dataset) == 23
    assert found['froc/mean'] == found['froc/mAP'] == pytest.approx(1)
    truth, written = (
        json.loads(Path(name).read_text())
        for name in (config.parent / 'val.json', tmp_path / 'froc.bbox.json')
    )
    truth = [[a['image_id'], *a['bbox']] for a in truth['annotations']]
    written = [[a['image_id'], *a['bbox']] for a in written]
    assert len(truth) == 24
    np.testing.assert_allclose(sorted(written), sorted(truth), atol=1e-4)
    run_tool(
        'analysis_tools/eval_froc.py',
        *('deeplesion', '--gt', config.parent / 'val.json'),
        *('--pred', tmp_path / 'froc.bbox.json', '--out', tmp_path / 'out'),
    )
    result = json.loads((tmp_path / 'out' / 'froc.json').read_text())
    assert result['sensitivity'] == [1] * 7 and result['num_lesions'] == 24


def test_pictures_have_boxes_and_diameters(config, run_tool, tmp_path):
    arguments = [config, '--phase', 'val', '--output-dir', tmp_path, '--num', 3]
    run_tool('analysis_tools/browse_dataset.py', *arguments)
    pictures = sorted(tmp_path.glob('*.png'))
    assert len(pictures) == 3
    for path in pictures:
        picture = cv2.imread(str(path)).astype(int)
        colored = np.abs(picture[..., 2] - picture[..., 0]) > 100
        green = picture[..., 1] - picture[..., 2] > 100
        box, diameters = (np.argwhere(where) for where in (colored, green))
        assert picture.shape[:2] == (512, 512) and len(diameters) > 5
        assert (diameters.min(axis=0) >= box.min(axis=0)).all()


def test_masks_of_the_real_lesions(config, run_tool, tmp_path):
    out = tmp_path / 'masks.json'
    arguments = [config.parent / 'val.json', '--images', MINI / 'Images_png', '--out', out]
    run_tool('dataset_converters/recist_masks.py', *arguments)
    annotations = json.loads(out.read_text())['annotations']
    assert [a['mask_source'] for a in annotations] == ['grabcut'] * 24
