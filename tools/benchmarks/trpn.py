"""Inference time of TruncatedRPNHead beside mmdet's RPNHead, on the same features and weights."""

from __future__ import annotations

import argparse
import operator
from functools import partial
from typing import TYPE_CHECKING

from harness.benchmark import BenchmarkParser, check_size
from harness.timing import interleave, time_call

from mmlesion.utils import check_range, cli

if TYPE_CHECKING:
    from mmdet.models.dense_heads import RPNHead
    from mmdet.structures import DetDataSample
    from torch import Tensor

    from mmlesion.models import TruncatedRPNHead

STRIDES = [4, 8, 16, 32, 64]


def build_heads(channels: int, device: str) -> tuple[RPNHead, TruncatedRPNHead]:
    """Build both heads with the same anchors, test settings and common weights."""
    from mmdet.models.dense_heads import RPNHead
    from mmengine.config import ConfigDict

    from mmlesion.models import TruncatedRPNHead

    settings = dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[2, 3, 4, 6, 12], ratios=[0.5, 1, 2], strides=STRIDES
        ),
        test_cfg=ConfigDict(
            nms_pre=1000,
            max_per_img=1000,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0,
        ),
    )
    plain, truncated = RPNHead(**settings), TruncatedRPNHead(**settings)
    # not strict: the branch of confidences has no counterpart
    truncated.load_state_dict(plain.state_dict(), strict=False)
    for head in (plain, truncated):
        head.to(device).eval().requires_grad_(False)
    return plain, truncated


def make_inputs(size: int, channels: int, device: str) -> tuple:
    """Draw smooth random features, as a pyramid has them, for one image."""
    import torch
    from mmdet.structures import DetDataSample

    # noise of full resolution would have no regions of high confidence
    coarse = torch.randn(1, channels, size // 32, size // 32)
    features = []
    for stride in STRIDES:
        side = size // stride
        level = torch.nn.functional.interpolate(coarse, size=(side, side), mode='bilinear')
        features.append(level.to(device))
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), pad_shape=(size, size)))
    return tuple(features), [sample]


def time_head(head: RPNHead, features: tuple[Tensor], samples: list[DetDataSample]) -> dict:
    """Run a head once; return its wall ``seconds`` and the number of its ``proposals``."""
    (proposals,), seconds = time_call(head.predict, features, samples, device=features[0].device)
    return dict(seconds=seconds.wall, proposals=len(proposals))


def kept_fraction(
    head: TruncatedRPNHead, features: tuple[Tensor], samples: list[DetDataSample]
) -> float:
    """Return the share of all locations of the pyramid that are not truncated."""
    import torch
    from mmdet.models.utils import select_single_mlvl

    # the third output, of the first image
    confidences = select_single_mlvl(head(features)[2], 0)
    return torch.cat(head.keep_locations(confidences, samples[0].metainfo)).float().mean().item()


def measure(args: argparse.Namespace) -> dict:
    """Time both heads in turn.

    Returns:
        dict: Median seconds of each, the median ratio of neighboring runs, the share of locations
        kept and the number of proposals of each.
    """
    check_size(args.size, STRIDES[-1], STRIDES[-1])
    check_range('--channels', args.channels, 1)
    import torch

    torch.manual_seed(args.seed)
    plain, truncated = build_heads(args.channels, args.device)
    features, samples = make_inputs(args.size, args.channels, args.device)
    time_on = partial(time_head, features=features, samples=samples)
    heads = dict(rpn=partial(time_on, plain), trpn=partial(time_on, truncated))
    rounds = interleave(heads, args.runs, args.warmup)
    seconds = operator.itemgetter('seconds')
    return dict(
        rpn_seconds=rounds.median('rpn', seconds),
        trpn_seconds=rounds.median('trpn', seconds),
        ratio=rounds.median_ratio('trpn', 'rpn', seconds),
        kept=kept_fraction(truncated, features, samples),
        rpn_proposals=rounds[-1]['rpn']['proposals'],
        trpn_proposals=rounds[-1]['trpn']['proposals'],
    )


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and features', runs=30, warmup=3)
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.add_argument('--channels', type=int, default=256, help='FPN channels (default 256)')
    parser.run(measure)


if __name__ == '__main__':
    main()
