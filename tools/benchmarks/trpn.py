"""Inference time of TruncatedRPNHead beside mmdet's RPNHead, on the same features and weights."""

import argparse
import operator
from functools import partial

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.utils import select_single_mlvl
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmlesion.analysis.timing import (
    benchmark_parser,
    check_size,
    interleave,
    median,
    median_ratio,
    run_benchmark,
    time_call,
)
from mmlesion.models import TruncatedRPNHead
from mmlesion.utils import cli

STRIDES = [4, 8, 16, 32, 64]


def build_heads(channels: int, device: str) -> tuple[nn.Module, nn.Module]:
    """Build both heads with the same anchors, test settings and common weights."""
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
    truncated.load_state_dict(plain.state_dict(), strict=False)
    return plain.to(device).eval(), truncated.to(device).eval()


def make_inputs(size: int, channels: int, device: str) -> tuple:
    """Draw smooth random features, as a pyramid has them, for one image."""
    coarse = torch.randn(1, channels, size // 32, size // 32)
    features = []
    for stride in STRIDES:
        side = size // stride
        level = torch.nn.functional.interpolate(coarse, size=(side, side), mode='bilinear')
        features.append(level.to(device))
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), pad_shape=(size, size)))
    return tuple(features), [sample]


def time_head(head: nn.Module, features: tuple[Tensor], samples: list[DetDataSample]) -> dict:
    """Run a head once; return its wall ``seconds`` and the number of its ``proposals``."""
    (proposals,), seconds = time_call(head.predict, features, samples, device=features[0].device)
    return dict(seconds=seconds.wall, proposals=len(proposals))


def kept_fraction(head: nn.Module, features: tuple[Tensor], samples: list[DetDataSample]) -> float:
    """Return the share of all locations of the pyramid that are not truncated."""
    confidences = select_single_mlvl(head(features)[2], 0)
    return torch.cat(head.keep_locations(confidences, samples[0].metainfo)).float().mean().item()


@torch.no_grad()
def measure(args: argparse.Namespace) -> dict:
    """Time both heads in turn.

    Returns:
        dict: Median seconds of each, the median ratio of neighboring runs, the share of locations
        kept and the number of proposals of each.
    """
    check_size(args.size, STRIDES[-1], STRIDES[-1])
    torch.manual_seed(args.seed)
    plain, truncated = build_heads(args.channels, args.device)
    features, samples = make_inputs(args.size, args.channels, args.device)
    time_on = partial(time_head, features=features, samples=samples)
    heads = dict(rpn=partial(time_on, plain), trpn=partial(time_on, truncated))
    rounds = interleave(heads, args.runs, args.warmup)
    seconds = operator.itemgetter('seconds')
    return dict(
        rpn_seconds=median(rounds, 'rpn', seconds),
        trpn_seconds=median(rounds, 'trpn', seconds),
        ratio=median_ratio(rounds, 'trpn', 'rpn', seconds),
        kept=kept_fraction(truncated, features, samples),
        rpn_proposals=rounds[-1]['rpn']['proposals'],
        trpn_proposals=rounds[-1]['trpn']['proposals'],
    )


@cli
def main():
    parser = benchmark_parser(__doc__, 'weights and features', runs=30, warmup=3)
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.add_argument('--channels', type=int, default=256, help='FPN channels (default 256)')
    run_benchmark(parser, measure)


if __name__ == '__main__':
    main()
