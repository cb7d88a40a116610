"""Time of nms_3d and RoIAlign3D beside loops over boxes, and beside MONAI's NMS if installed."""

import argparse
import json
import statistics
from functools import partial

import torch
from torch.nn import functional as F

from mmlesion.io.atomic import atomic_write
from mmlesion.models.layers import nms_3d, roi_align_3d
from mmlesion.structures.spheres import SphereBoxes, sphere_overlaps
from mmlesion.utils import UserError, cli
from mmlesion.utils.benchmark import check_turns, clocked, median_ratio, take_turns

try:
    from monai.data.box_utils import non_max_suppression
except ImportError:
    non_max_suppression = None

EXTENT = 300  # mm, of a scan
STRIDE = 4  # of the feature map that regions are aligned in
BINS = 2


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--boxes', type=int, default=10000, help='for NMS (default 10000)')
    parser.add_argument(
        '--lesions', type=int, default=100, help='that boxes lie about; 0: anywhere (default 100)'
    )
    parser.add_argument('--iou', type=float, default=0.1, help='threshold of NMS (default 0.1)')
    parser.add_argument('--regions', type=int, default=300, help='for RoIAlign (default 300)')
    parser.add_argument('--size', type=int, default=32, help='side of the features (default 32)')
    parser.add_argument('--channels', type=int, default=32, help='of the features (default 32)')
    parser.add_argument('--runs', type=int, default=10, help='timed runs of each (default 10)')
    parser.add_argument('--warmup', type=int, default=2, help='untimed runs of each (default 2)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of boxes and features (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


def draw_spheres(number, extent, lesions=0):
    """Draw spheres of 4 to 24 mm anywhere, or within some mm of some lesions."""
    spheres = torch.rand(number, 4) * extent
    if lesions:
        about = torch.randint(lesions, (number,))
        spheres[:, :3] = spheres[about, :3] + 2 * torch.randn(number, 3)
    spheres[:, 3] = 4 * 6 ** torch.rand(number)
    return spheres


def plain_nms(boxes, scores, iou_threshold):
    """Keep the best box and drop what overlaps it, until none is left."""
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        overlaps = sphere_overlaps(boxes[best][None], boxes[order])[0]
        order = order[overlaps <= iou_threshold]
    return torch.stack(kept)


def monai_nms(boxes, scores, iou_threshold):
    """MONAI's, of the bounding cubes."""
    cubes = SphereBoxes(boxes, clone=False).cubes
    return non_max_suppression(cubes, scores, iou_threshold, max_proposals=-1)


def plain_roi_align(features, rois, output_size, spatial_scale, ratio=2):
    """Sample each region by itself with grid_sample."""
    samples = output_size * ratio
    steps = (torch.arange(samples, device=rois.device) + 0.5) / samples - 0.5
    size = torch.tensor(features.shape[2:], device=rois.device)
    bins = []
    for batch, *center, side in rois.tolist():
        points = rois.new_tensor(center)[:, None] + side * steps
        z, y, x = points * spatial_scale * 2 / size[:, None] - 1
        grid = torch.stack(torch.meshgrid(z, y, x, indexing='ij')[::-1], -1)[None]
        volume = features[int(batch)][None]
        sampled = F.grid_sample(volume, grid, padding_mode='border', align_corners=False)
        bins.append(F.avg_pool3d(sampled, ratio))
    return torch.cat(bins)


def forward_backward(align, features, rois):
    """Align, and compute the gradient of the features."""
    features.grad = None
    result = align(features, rois, BINS, 1 / STRIDE)
    result.sum().backward()
    return result.detach()


def compare(functions, runs, warmup, device, same):
    """Time functions in turn.

    Args:
        functions (dict[str, callable]): By name, the first the one of interest.
        runs (int): Timed turns.
        warmup (int): Turns before them.
        device (str): Where they compute.
        same (callable): Whether two results are the same.

    Returns:
        dict: Median seconds of each, and median ratio of each other to the first.

    Raises:
        UserError: If results differ.
    """
    timed = {name: partial(clocked, call, device=device) for name, call in functions.items()}
    turns = take_turns(timed, runs, warmup)
    name, *others = functions
    for other in others:
        if not same(turns[-1][name][0], turns[-1][other][0]):
            raise UserError(f'{name} and {other} have different results: times mean nothing')
    seconds = [{key: took.wall for key, (_, took) in turn.items()} for turn in turns]
    medians = {key: statistics.median(turn[key] for turn in seconds) for key in functions}
    ratios = {f'{key}_over_{name}': median_ratio(seconds, key, name) for key in others}
    return dict(seconds=medians, **ratios)


def benchmark(
    boxes=10000,
    lesions=100,
    iou=0.1,
    regions=300,
    size=32,
    channels=32,
    runs=10,
    warmup=2,
    device='cpu',
    seed=0,
):
    """Time both operations on random input.

    Returns:
        dict: Of ``nms`` the figures and the number kept, and figures of ``roi_align``, which is
        timed with its gradient, and of ``roi_align_forward``.
    """
    torch.manual_seed(seed)
    inputs = draw_spheres(boxes, EXTENT, lesions).to(device), torch.rand(boxes).to(device), iou
    suppress = dict(nms_3d=nms_3d, loop=plain_nms)
    if non_max_suppression:
        suppress['monai'] = monai_nms
    suppress = {name: partial(call, *inputs) for name, call in suppress.items()}
    turns = (runs, warmup, device)
    nms = compare(suppress, *turns, torch.equal)

    features = torch.randn(1, channels, size, size, size).to(device).requires_grad_()
    spheres = draw_spheres(regions, size * STRIDE - 24)
    spheres[:, :3] += 12  # regions that are inside have no border about which ways might differ
    rois = torch.cat([torch.zeros(regions, 1), spheres], 1).to(device)
    aligns = dict(roi_align_3d=roi_align_3d, loop=plain_roi_align)
    close = partial(torch.allclose, atol=1e-4)
    trained = {k: partial(forward_backward, call, features, rois) for k, call in aligns.items()}
    applied = {
        k: partial(call, features.detach(), rois, BINS, 1 / STRIDE) for k, call in aligns.items()
    }
    return dict(
        nms=dict(nms, kept=len(suppress['nms_3d']())),
        roi_align=compare(trained, *turns, close),
        roi_align_forward=compare(applied, *turns, close),
    )


@cli
def main():
    args = vars(parse_args())
    out = args.pop('out')
    for name in ('boxes', 'regions', 'channels'):
        if args[name] < 1:
            raise UserError(f'--{name} must be at least 1, not {args[name]}')
    if args['lesions'] < 0 or args['lesions'] > args['boxes']:
        raise UserError(f'--lesions must be 0 to the number of boxes, not {args["lesions"]}')
    if args['size'] * STRIDE <= 24:
        raise UserError(f'--size must be over {24 // STRIDE}, that regions of 24 mm fit in')
    check_turns(args['runs'], args['warmup'], args['device'])
    figures = benchmark(**args)
    print(json.dumps(figures, indent=2))
    if out:
        with atomic_write(out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
