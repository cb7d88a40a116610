"""The configs of configs/slice_context: what their names say, and training steps."""

import functools
from pathlib import Path

import pytest
import torch
from harness.detectors import random_image, without_pretrained
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401 (registers mmlesion's components)

CONFIGS = Path(__file__).parents[1] / 'configs'
FILES = sorted(CONFIGS.glob('slice_context/*.py')) + sorted(
    CONFIGS.glob('phantom/slice_context/*.py')
)
CONVS = dict(a3d='A3D', alignshift='AlignShift', tsm='TSM')


@functools.cache
def read(path):
    return Config.fromfile(path)


def conv_of(cfg):
    conv = cfg.model.backbone.conv
    return conv if isinstance(conv, str) else conv.type.removesuffix('Conv')


@pytest.mark.parametrize('path', [path for path in FILES if '7groups' not in path.name], ids=str)
def test_a_config_is_what_its_name_says(path):
    cfg = read(path)
    detector, network, *_ = path.stem.split('_')
    number = int(path.stem.split('slices')[0][-1])
    assert cfg.model.type == dict(faster='FasterRCNN', mask='MaskRCNN')[detector.split('-')[0]]
    assert conv_of(cfg) == CONVS[network.split('-')[-1]]
    assert cfg.model.backbone.num_slices == number
    aligned = 'alignshift' in network
    for split in ('train', 'val', 'test'):
        pipeline = cfg[f'{split}_dataloader'].dataset.pipeline
        assert pipeline[0].num_slices == number
        assert pipeline[0].get('upsample', True) != aligned
        assert not aligned or 'slice_distance' in pipeline[-1].meta_keys
    masked = cfg.train_dataloader.dataset.ann_file == 'train_masks.json'
    assert masked == (detector == 'mask-rcnn')
    assert masked == cfg.train_dataloader.dataset.pipeline[1].get('with_mask', False)
    assert aligned == (cfg.model.data_preprocessor.type == 'SliceContextDataPreprocessor')
    concat = cfg.model.backbone.get('fuse') == 'concat'
    assert concat == ('18' not in network or 'concat' in path.stem)
    if 'r50' in network:
        assert cfg.model.neck.in_channels == [number * width for width in (256, 512, 1024, 2048)]
    elif concat:
        assert cfg.model.neck[0].num_groups == number


def sample_of(meta):
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[:, 20:52, 20:52] = 1
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 20, 52, 52]]), labels=torch.tensor([0]),
        masks=BitmapMasks(masks.numpy(), 64, 64),
    )  # fmt: skip
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return sample


@pytest.mark.parametrize(
    'name, channels',
    [
        ('slice_context/mask-rcnn_densenet121-a3d_3slices_4xb2-20e_deeplesion', 3),
        ('slice_context/mask-rcnn_densenet121-alignshift_3slices_4xb2-20e_deeplesion', 4),
        ('slice_context/mask-rcnn_r50-a3d_fpn_7slices_4xb2-1x_deeplesion', 7),
        ('slice_context/faster-rcnn_r50_fpn_7groups_4xb2-1x_deeplesion', 7),
        ('phantom/slice_context/mask-rcnn_r18-a3d_fpn_3slices_phantom', 3),
        ('phantom/slice_context/faster-rcnn_r18-alignshift_fpn_7slices_phantom', 8),
    ],
)
def test_training_step_and_prediction(name, channels):
    torch.manual_seed(0)
    cfg = without_pretrained(read(CONFIGS / f'{name}.py').copy().model)
    cfg.train_cfg.rpn_proposal.max_per_img = cfg.test_cfg.rpn.max_per_img = 50
    model = MODELS.build(cfg).train()
    image, meta = random_image(64, channels=channels)
    image[:, -1].fill_(2.5)  # mm, if it is the distance
    losses = model.loss(image, [sample_of(meta)])
    assert ('loss_mask' in losses) == ('mask-rcnn' in name)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.grad is not None for p in trained) > 0.9 * len(trained)
    model.eval()
    with torch.no_grad():
        (sample,) = model.predict(image, [DetDataSample(metainfo=meta)])
    assert sample.pred_instances.bboxes.shape[1] == 4


def test_the_papers_densenet_has_its_convolutions():
    """Both convolutions of all 42 dense layers mix, neither stem nor transitions."""
    path = CONFIGS / 'slice_context/mask-rcnn_densenet121-a3d_7slices_4xb2-20e_deeplesion.py'
    backbone = MODELS.build(without_pretrained(read(path).copy().model).backbone)
    mixing = [p for name, p in backbone.named_parameters() if name.endswith('mixing')]
    assert len(mixing) == 2 * (6 + 12 + 24)
    assert all(p.shape[:2] == (7, 7) for p in mixing)
