"""Greedy non-maximum suppression of spheres without a loop over spheres.

Spheres are processed in blocks in descending order of score. Spheres suppressed by kept ones of
earlier blocks are dropped from a block, and the rest is resolved in rounds: a sphere is kept once
no higher-scoring sphere overlaps it, and the spheres that it overlaps are dropped. This is
equivalent to sequential NMS; the number of rounds is the length of the longest chain of overlaps,
which is small.

Overlaps are computed only between neighbors, which are found by hashing grid cells. Volumes of
spheres, and of cubes, whose IoU exceeds t differ by less than 1 / t. So a sphere has its neighbors
in its own size class or the adjacent ones, if diameters within a class differ by less than
t^(-1/3); and in its own or adjacent cells of a class, if cells are as large as the maximum distance
of two overlapping spheres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from mmlesion.structures.spheres import SphereBoxes, check_shape, sphere_overlaps

FIRST_BLOCK, BLOCK = 256, 2048  # spheres of the first block, and most of one; they double
MAX_PAIRS = 2**19  # that are compared at once: some 50 MB
SIDE = 2**10  # cells along an axis, so that a cell's number is an int64
ROUNDING = 1e-3  # how much wider cells and classes are than they need be with exact numbers


def nms_3d(
    boxes: Tensor | SphereBoxes,
    scores: Tensor,
    iou_threshold: float,
    max_num: int = -1,
    mode: str = 'cube',
) -> Tensor:
    """Keep the highest-scoring of overlapping spheres.

    Args:
        boxes: (n, 4) z, y, x, diameter.
        scores: (n,).
        iou_threshold: IoU over which the sphere of the lower score is dropped; of equal
            scores, the later one.
        max_num: Most spheres to keep, or -1 for all. Defaults to -1.
        mode: ``'cube'``, IoU of the bounding cubes, or ``'sphere'``, of the spheres
            themselves. Defaults to ``'cube'``.

    Returns:
        Tensor: Indices (k,) of the kept spheres, highest scores first.
    """
    idxs = torch.zeros_like(scores, dtype=torch.long)
    return batched_nms_3d(boxes, scores, idxs, iou_threshold, max_num, mode)


@torch.no_grad()
def batched_nms_3d(
    boxes: Tensor | SphereBoxes,
    scores: Tensor,
    idxs: Tensor,
    iou_threshold: float,
    max_num: int = -1,
    mode: str = 'cube',
) -> Tensor:
    """Keep the highest-scoring of overlapping spheres, separately in each group.

    Args:
        boxes: (n, 4) z, y, x, diameter. One that is not finite overlaps
            nothing.
        scores: (n,).
        idxs: Groups (n,), integers from 0: indices of volumes or classes.
        iou_threshold: IoU over which the sphere of the lower score is dropped; of equal
            scores, the later one.
        max_num: Most spheres to keep in all groups together, or -1 for all. Defaults to -1.
        mode: ``'cube'``, IoU of the bounding cubes, or ``'sphere'``, of the spheres
            themselves. Defaults to ``'cube'``.

    Returns:
        Tensor: Indices (k,) of the kept spheres, highest scores first.

    Raises:
        ValueError: If the numbers of spheres, scores and groups differ, or ``mode`` is invalid.
    """
    check_shape('mode', mode)
    boxes = get_box_tensor(boxes)
    if not len(boxes) == len(scores) == len(idxs):
        raise ValueError(f'{len(boxes)} boxes, {len(scores)} scores and {len(idxs)} groups')
    order = scores.argsort(descending=True, stable=True)
    if not len(boxes) or iou_threshold >= 1:
        return order[: max_num if max_num >= 0 else None]
    boxes = boxes[order].to(torch.promote_types(boxes.dtype, torch.float32))
    # empty spheres overlap nothing, and have cells
    boxes = boxes.where(boxes.isfinite().all(1, keepdim=True), boxes.new_zeros(()))
    cells = _Cells(boxes, idxs[order], iou_threshold)
    kept, ranks = order[:0], torch.arange(len(order), device=order.device)
    for block in ranks.split(_block_sizes(len(ranks))):
        dropped = torch.zeros_like(ranks, dtype=torch.bool)
        for later, _ in _overlapping(boxes, cells, block, kept, iou_threshold, mode):
            dropped[later] = True
        kept = torch.cat([kept, _settle(boxes, cells, block[~dropped[block]], iou_threshold, mode)])
        if 0 <= max_num <= len(kept):
            return order[kept[:max_num]]
    return order[kept]


def _block_sizes(number: int) -> list[int]:
    """Return block sizes; the small first block drops most spheres if many overlap."""
    sizes: list[int] = []
    while sum(sizes) < number:
        size = min(2 * sizes[-1], BLOCK) if sizes else FIRST_BLOCK
        sizes.append(min(size, number - sum(sizes)))
    return sizes


def _settle(boxes: Tensor, cells: _Cells, block: Tensor, iou_threshold: float, mode: str) -> Tensor:
    """Suppress within a block (n,) of ascending ranks; return the ranks that are kept."""
    pairs = [block.new_empty(2, 0)]
    for later, earlier in _overlapping(boxes, cells, block, block, iou_threshold, mode):
        ordered = later > earlier
        pairs.append(torch.stack([later[ordered], earlier[ordered]]))
    later, earlier = torch.cat(pairs, 1)
    dropped = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    # A round: what no undecided sphere of a higher score overlaps is kept, what it overlaps is
    # dropped, and pairs of which either is dropped are done.
    while len(later):
        waiting = torch.zeros_like(dropped)
        waiting[later] = True
        dropped[later[~waiting[earlier]]] = True
        left = ~(dropped[later] | dropped[earlier])
        later, earlier = later[left], earlier[left]
    return block[~dropped[block]]


def _overlapping(
    boxes: Tensor, cells: _Cells, queries: Tensor, targets: Tensor, iou_threshold: float, mode: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs (query, target) of indices whose IoU exceeds the threshold, in chunks."""
    for query, target in cells.neighbors(queries, targets):
        overlaps = sphere_overlaps(boxes[query], boxes[target], is_aligned=True, shape=mode)
        over = overlaps > iou_threshold
        yield query[over], target[over]


class _Cells:
    """Grid cells of spheres, numbered by group, size class, z, y and, consecutively, x.

    Args:
        boxes: (n, 4), finite.
        groups: (n,), integers from 0.
        iou_threshold: Under 1.
    """

    def __init__(self, boxes: Tensor, groups: Tensor, iou_threshold: float) -> None:
        boxes = boxes.double()
        diameters, places = boxes[:, 3].clamp(min=1e-6), boxes[:, :3] - boxes[:, :3].amin(0)
        least, most = diameters.aminmax()
        # logarithm of the ratio of diameters up to which two spheres may overlap enough; without a
        # threshold all sizes may overlap, and are one class
        growth = ROUNDING - math.log(iou_threshold) / 3 if iou_threshold > 0 else math.inf
        classes = ((diameters / least).log() / growth).long() + 1
        count = int(classes.max()) + 2  # one before and one behind, for steps
        upper = torch.arange(2, count + 2, device=boxes.device, dtype=boxes.dtype)
        reach = torch.minimum(least * (growth * upper).exp(), most)  # of the next class
        sizes = (reach * (1 + ROUNDING)).clamp(min=places.max() / (SIDE - 4))
        # numbers (3, n): of each sphere, its cell in its own class and those before and behind
        steps = classes + torch.tensor([[-1], [0], [1]], device=boxes.device)
        z, y, x = ((places / sizes[steps - 1, None]).long() + 1).unbind(-1)
        self.numbers = (((groups.long() * count + steps) * SIDE + z) * SIDE + y) * SIDE + x

    def neighbors(self, queries: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pairs that may overlap, at most about ``MAX_PAIRS`` at a time.

        Args:
            queries: Indices (m,) of spheres.
            targets: Indices (n,) of spheres.

        Yields:
            tuple[Tensor, Tensor]: Indices of a query and of a target.
        """
        numbers, order = self.numbers[1, targets].sort()
        queries = queries[self.numbers[1, queries].argsort()]  # memory is searched in its order
        # Neighboring cells: three classes, and in each nine rows of cells, three in z and three in
        # y. The three cells of a row have consecutive numbers: one search finds all of them.
        near = torch.arange(-1, 2, device=queries.device)
        rows = (near[:, None] * SIDE + near).flatten() * SIDE
        middles = (self.numbers[:, None, queries] + rows[:, None]).flatten()
        first = torch.searchsorted(numbers, middles - 1)
        counts = torch.searchsorted(numbers, middles + 1, right=True) - first
        queries = queries.repeat(27)  # 3 classes x 9 rows, as `middles` has them
        some = counts.nonzero().squeeze(1)
        first, counts, queries = first[some], counts[some], queries[some]
        parts = counts.cumsum(0).div(MAX_PAIRS, rounding_mode='floor')
        sizes = parts.unique_consecutive(return_counts=True)[1].tolist()
        blocks = zip(first.split(sizes), counts.split(sizes), queries.split(sizes))
        for start, count, query in blocks:
            # Runs of targets, start to start + count, one after another: a running number, moved
            # from where its run begins among all of them to where it begins in `order`.
            place = torch.arange(int(count.sum()), device=count.device)
            place += (start - count.cumsum(0) + count).repeat_interleave(count)
            yield query.repeat_interleave(count), targets[order[place]]
