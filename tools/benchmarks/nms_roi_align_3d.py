"""Time of nms_3d and RoIAlign3D beside loops over boxes, and beside MONAI's NMS if installed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Callable

from harness.benchmark import BenchmarkParser
from harness.timing import Seconds, interleave, time_call

from mmlesion.utils import UserError, check_range, cli

if TYPE_CHECKING:
    from torch import Tensor

EXTENT = 300  # mm, of a scan
STRIDE = 4  # of the feature map that regions are aligned in
BINS = 2
WIDEST = 24  # mm, of a sphere


def draw_spheres(number: int, extent: float, lesions: int = 0) -> Tensor:
    """Draw spheres of 4 to 24 mm anywhere, or within some mm of some lesions."""
    import torch

    spheres = torch.rand(number, 4) * extent
    if lesions:
        about = torch.randint(lesions, (number,))
        spheres[:, :3] = spheres[about, :3] + 2 * torch.randn(number, 3)
    # log-uniform: small lesions are the most frequent
    spheres[:, 3] = 4 * 6 ** torch.rand(number)
    return spheres


def plain_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box and drop what overlaps it, until none is left."""
    import torch

    from mmlesion.structures.spheres import sphere_overlaps

    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        overlaps = sphere_overlaps(boxes[best][None], boxes[order])[0]
        order = order[overlaps <= iou_threshold]
    return torch.stack(kept)


def monai_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Run MONAI's NMS on the bounding cubes."""
    from monai.data.box_utils import non_max_suppression

    from mmlesion.structures.spheres import SphereBoxes

    # the overlap of spheres is defined by these too, so that the results can be compared
    cubes = SphereBoxes(boxes, clone=False).cubes
    return non_max_suppression(cubes, scores, iou_threshold, max_proposals=-1)


def plain_roi_align(
    features: Tensor, rois: Tensor, output_size: int, spatial_scale: float, ratio: int = 2
) -> Tensor:
    """Sample each region by itself with grid_sample."""
    import torch
    from torch.nn import functional as F

    samples = output_size * ratio
    # centers of equal parts of the side, from -0.5 to 0.5
    steps = (torch.arange(samples, device=rois.device) + 0.5) / samples - 0.5
    size = torch.tensor(features.shape[2:], device=rois.device)
    bins = []
    for roi in rois.tolist():
        batch, center, side = int(roi[0]), roi[1:4], roi[4]
        points = rois.new_tensor(center)[:, None] + side * steps
        # grid_sample counts from -1 to 1 between the outer faces of the map, along x, y, z
        z, y, x = points * spatial_scale * 2 / size[:, None] - 1
        grid = torch.stack(torch.meshgrid(z, y, x, indexing='ij')[::-1], -1)[None]
        volume = features[batch][None]
        sampled = F.grid_sample(volume, grid, padding_mode='border', align_corners=False)
        bins.append(F.avg_pool3d(sampled, ratio))
    return torch.cat(bins)


def forward_backward(align: Callable, features: Tensor, rois: Tensor) -> Tensor:
    """Align, and compute the gradient of the features."""
    features.grad = None
    result = align(features, rois, BINS, 1 / STRIDE)
    result.sum().backward()
    return result.detach()


def wall_seconds(timed: tuple[Tensor, Seconds]) -> float:
    """Take the wall seconds from what a timed function returns."""
    return timed[1].wall


def compare(
    functions: Mapping[str, Callable[[], Tensor]],
    args: argparse.Namespace,
    same: Callable[[Tensor, Tensor], bool],
) -> dict:
    """Time functions in turn.

    Args:
        functions (dict[str, callable]): By name, the first the one of interest.
        args (Namespace): ``runs``, ``warmup`` and ``device``.
        same (callable): Whether two results are the same.

    Returns:
        dict: Median seconds of each, and median ratio of each other to the first.

    Raises:
        UserError: If results differ.
    """
    timed = {name: partial(time_call, call, device=args.device) for name, call in functions.items()}
    rounds = interleave(timed, args.runs, args.warmup)
    results = {name: result for name, (result, _) in rounds[-1].items()}
    names = list(functions)
    first = names[0]
    figures = dict(seconds={name: rounds.median(name, wall_seconds) for name in names})
    for other in names[1:]:
        # an operation that computes something else may well be faster
        if not same(results[first], results[other]):
            raise UserError(f'{first} and {other} have different results: times mean nothing')
        figures[f'{other}_over_{first}'] = rounds.median_ratio(other, first, wall_seconds)
    return figures


def compare_nms(args: argparse.Namespace) -> dict:
    """Time NMS on random spheres; ``kept`` is the number of spheres that are left."""
    import torch

    from mmlesion.models.layers import nms_3d

    boxes = draw_spheres(args.boxes, EXTENT, args.lesions).to(args.device)
    scores = torch.rand(args.boxes).to(args.device)
    ways = dict(nms_3d=nms_3d, loop=plain_nms)
    if find_spec('monai'):
        ways['monai'] = monai_nms
    suppress = {name: partial(way, boxes, scores, args.iou) for name, way in ways.items()}
    return dict(compare(suppress, args, torch.equal), kept=len(suppress['nms_3d']()))


def compare_roi_align(args: argparse.Namespace) -> dict:
    """Time RoIAlign of random regions with its gradient, and its forward pass alone."""
    import torch

    from mmlesion.models.layers import roi_align_3d

    shape = (1, args.channels, args.size, args.size, args.size)
    features = torch.randn(shape).to(args.device).requires_grad_()
    spheres = draw_spheres(args.regions, args.size * STRIDE - WIDEST)
    # regions that are inside have no border about which ways might differ
    spheres[:, :3] += WIDEST / 2
    rois = torch.cat([torch.zeros(args.regions, 1), spheres], 1).to(args.device)
    trained, applied = {}, {}
    for name, way in dict(roi_align_3d=roi_align_3d, loop=plain_roi_align).items():
        trained[name] = partial(forward_backward, way, features, rois)
        applied[name] = partial(way, features.detach(), rois, BINS, 1 / STRIDE)
    close = partial(torch.allclose, atol=1e-4)
    return dict(
        roi_align=compare(trained, args, close), roi_align_forward=compare(applied, args, close)
    )


def measure(args: argparse.Namespace) -> dict:
    """Time both operations on random input.

    Returns:
        dict: Of ``nms`` the figures and the number kept, and figures of ``roi_align``, which is
        timed with its gradient, and of ``roi_align_forward``.
    """
    check(args)
    import torch

    torch.manual_seed(args.seed)
    return dict(nms=compare_nms(args), **compare_roi_align(args))


def check(args: argparse.Namespace) -> None:
    for name in ('boxes', 'regions', 'channels'):
        if getattr(args, name) < 1:
            raise UserError(f'--{name} must be at least 1, not {getattr(args, name)}')
    if not 0 <= args.lesions <= args.boxes:
        raise UserError(f'--lesions must be 0 to the number of boxes, not {args.lesions}')
    check_range('--iou', args.iou, 0, 1)
    if args.size * STRIDE <= WIDEST:
        raise UserError(f'--size must be over {WIDEST // STRIDE}, that regions of 24 mm fit in')


@cli
def main():
    parser = BenchmarkParser(__doc__, 'boxes and features', runs=10, warmup=2)
    parser.add_argument('--boxes', type=int, default=10000, help='for NMS (default 10000)')
    parser.add_argument(
        '--lesions', type=int, default=100, help='that boxes lie about; 0: anywhere (default 100)'
    )
    parser.add_argument('--iou', type=float, default=0.1, help='threshold of NMS (default 0.1)')
    parser.add_argument('--regions', type=int, default=300, help='for RoIAlign (default 300)')
    parser.add_argument('--size', type=int, default=32, help='side of the features (default 32)')
    parser.add_argument('--channels', type=int, default=32, help='of the features (default 32)')
    parser.run(measure)


if __name__ == '__main__':
    main()
