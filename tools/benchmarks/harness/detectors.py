"""Detectors and images to measure with: built from configs, without files to download."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .timing import Seconds, time_call

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector, TwoStageDetector


def build_detector(
    cfg: Config, checkpoint: str | Path | None = None, seed: int = 0, device: str = 'cpu'
) -> BaseDetector:
    """Build a detector for inference, with random weights if there is no checkpoint.

    Args:
        cfg: A config with ``model``; weights of ImageNet, which it may name, are not
            loaded.
        checkpoint: A checkpoint. Defaults to None.
        seed: Of random weights.
        device: Where to put it.

    Returns:
        BaseDetector: The detector, in evaluation mode.
    """
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # mmengine logs each weight
    torch.manual_seed(seed)
    model = MODELS.build(without_pretrained(cfg.model))
    model.init_weights()
    if checkpoint:
        load_checkpoint(model, str(checkpoint), map_location='cpu')
    return model.to(device).eval()


def without_pretrained(cfg: Any) -> Any:
    """Remove weights to download from a model's config; modules are then randomly initialized.

    Args:
        cfg: The config, or a part of it.

    Returns:
        ConfigDict | list | object: A copy with ``init_cfg=None`` where its type was 'Pretrained'.
    """
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(without_pretrained(item) for item in cfg)
    if not isinstance(cfg, dict):
        return cfg
    copied = {key: without_pretrained(value) for key, value in cfg.items()}
    if isinstance(cfg.get('init_cfg'), dict) and cfg['init_cfg'].get('type') == 'Pretrained':
        copied['init_cfg'] = None
    return type(cfg)(copied)  # ConfigDict, whose attributes mmdet reads


def random_image(
    size: int, seed: int = 0, device: str = 'cpu', channels: int = 3
) -> tuple[Tensor, dict[str, Any]]:
    """Draw an image with values between -1 and 1, as a detector's backbone takes it.

    Args:
        size: Its side, px.
        seed: Of its values.
        device: Where to put it.
        channels: Its channels.

    Returns:
        tuple: Image (1, channels, size, size) and the meta information of its sample.
    """
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand((1, channels, size, size), generator=generator) * 2 - 1
    shapes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    return image.to(device), dict(dict.fromkeys(shapes, (size, size)), scale_factor=(1, 1))


def count_parameters(*modules: nn.Module | None) -> int:
    """Count the parameters of modules, None of which has none."""
    parameters = chain.from_iterable(module.parameters() for module in modules if module)
    return sum(map(torch.Tensor.numel, parameters))


def gigamacs(model: nn.Module, image: Tensor) -> float:
    """Count a network's multiply-adds, without post-processing, in thousand millions.

    Args:
        model: A detector.
        image: (1, C, H, W).
    """
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(image, mode='tensor')
    return counter.get_total_flops() / 2e9  # a multiply-add counts as two operations there


@torch.no_grad()
def time_detection(model: BaseDetector, image: Tensor, meta: dict[str, Any]) -> Seconds:
    """Run a detector once.

    Args:
        model: The detector.
        image: (1, C, H, W).
        meta: Meta information of its sample.
    """
    samples = [DetDataSample(metainfo=meta)]
    return time_call(model.predict, image, samples, device=image.device)[1]


@torch.no_grad()
def best_proposals(
    model: TwoStageDetector, image: Tensor, meta: dict[str, Any], count: int
) -> InstanceData:
    """Return the best ``count`` proposals that a two-stage detector's RPN finds.

    Args:
        model: The detector.
        image: (1, C, H, W).
        meta: Meta information of its sample.
        count: How many at most.
    """
    # The RPN's own settings but for the number, which NMS keeps in descending order of score.
    test_cfg = ConfigDict(model.rpn_head.test_cfg, max_per_img=count)
    outputs = model.rpn_head(model.extract_feat(image))
    (found,) = model.rpn_head.predict_by_feat(*outputs, batch_img_metas=[meta], cfg=test_cfg)
    return found


@torch.no_grad()
def time_two_stage(
    model: TwoStageDetector,
    image: Tensor,
    meta: dict[str, Any],
    regions: InstanceData | None = None,
) -> dict[str, Seconds | int]:
    """Run a two-stage detector once, as its ``predict`` does.

    Args:
        model: The detector.
        image: (1, C, H, W).
        meta: Meta information of its sample.
        regions: Input of the RoI head, the best first: as many of these
            as the RPN has found proposals. Defaults to the proposals themselves.

    Returns:
        dict: :class:`Seconds` of ``features`` (backbone and neck), ``rpn``, ``roi_head`` and all
        in ``total``, and the number of ``proposals``.
    """
    clock = partial(time_call, device=image.device)
    samples = [DetDataSample(metainfo=meta)]
    features, first = clock(model.extract_feat, image)
    (proposals,), rpn = clock(model.rpn_head.predict, features, samples)
    # As many regions as the RPN found, so that its own number of proposals is what is timed.
    count = len(proposals)
    if regions is not None:
        proposals = regions[:count]
        count = len(proposals)
    _, last = clock(partial(model.roi_head.predict, rescale=True), features, [proposals], samples)
    return dict(features=first, rpn=rpn, roi_head=last, total=first + rpn + last, proposals=count)
