"""Inference time of TruncatedRPNHead beside mmdet's RPNHead, on the same features and weights."""

import argparse
import json
import statistics
from functools import partial

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.utils import select_single_mlvl
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict

from mmlesion.io.atomic import atomic_write
from mmlesion.models import TruncatedRPNHead
from mmlesion.utils import UserError, cli
from mmlesion.utils.benchmark import check_turns, clocked, median_ratio, take_turns

STRIDES = [4, 8, 16, 32, 64]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.add_argument('--channels', type=int, default=256, help='FPN channels (default 256)')
    parser.add_argument('--runs', type=int, default=30, help='timed runs of each (default 30)')
    parser.add_argument('--warmup', type=int, default=3, help='untimed runs of each (default 3)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and features (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


def build_heads(channels, device):
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


def make_inputs(size, channels, device):
    """Draw smooth random features, as a pyramid has them, for one image."""
    coarse = torch.randn(1, channels, size // 32, size // 32)
    features = [
        torch.nn.functional.interpolate(coarse, size=(size // s, size // s), mode='bilinear')
        for s in STRIDES
    ]
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), pad_shape=(size, size)))
    return tuple(feature.to(device) for feature in features), [sample]


def timed(head, features, samples):
    """Run a head once; return its seconds and the number of its proposals."""
    (proposals,), seconds = clocked(head.predict, features, samples, device=features[0].device)
    return seconds.wall, len(proposals)


def kept_fraction(head, features, samples):
    """Share of all locations of the pyramid that are not truncated."""
    confidences = select_single_mlvl(head(features)[2], 0)
    return torch.cat(head.keep_locations(confidences, samples[0].metainfo)).float().mean().item()


@torch.no_grad()
def benchmark(size=512, channels=256, runs=30, warmup=3, device='cpu', seed=0):
    """Time both heads in turn.

    Returns:
        dict: Median seconds of each, the median ratio of neighbouring runs, the share of locations
        kept and the number of proposals of each.
    """
    torch.manual_seed(seed)
    plain, truncated = build_heads(channels, device)
    inputs = make_inputs(size, channels, device)
    heads = dict(rpn=partial(timed, plain, *inputs), trpn=partial(timed, truncated, *inputs))
    turns = take_turns(heads, runs, warmup)
    seconds = [{name: head_seconds for name, (head_seconds, _) in turn.items()} for turn in turns]
    return dict(
        rpn_seconds=statistics.median(turn['rpn'] for turn in seconds),
        trpn_seconds=statistics.median(turn['trpn'] for turn in seconds),
        ratio=median_ratio(seconds, 'trpn', 'rpn'),
        kept=kept_fraction(truncated, *inputs),
        rpn_proposals=turns[-1]['rpn'][1],
        trpn_proposals=turns[-1]['trpn'][1],
    )


@cli
def main():
    args = vars(parse_args())
    out = args.pop('out')
    if args['size'] < 64 or args['size'] % 64:
        raise UserError(f'--size {args["size"]} is no multiple of 64, the coarsest stride in px')
    check_turns(args['runs'], args['warmup'], args['device'])
    figures = benchmark(**args)
    print(json.dumps(figures, indent=2))
    if out:
        with atomic_write(out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
