"""Time FROC evaluation on synthetic submissions of the public benchmarks' sizes.

Each is also evaluated detection by detection on this machine, as the published programs do it, and
the difference between the two is shown.
"""

import argparse
from functools import partial

import numpy as np
from harness.benchmark import BenchmarkParser, format_table
from harness.timing import time_call
from tqdm import tqdm

from mmlesion.froc import (
    deeplesion_protocol,
    evaluate_froc,
    lens_protocol,
    luna16_protocol,
)
from mmlesion.structures import Detections, Lesions
from mmlesion.utils import UserError, cli


def synthetic_boxes(generator, num_cases, num_lesions, num_detections, dims):
    """Lesions of 10 to 60 px at random in 512 px, a third of the detections near one of them."""
    case = np.sort(generator.integers(num_cases, size=num_lesions))
    start = generator.uniform(0, 450, (num_lesions, dims))
    lesions = np.hstack([start, start + generator.uniform(10, 60, start.shape)])
    source = generator.integers(num_lesions, size=num_detections)
    # a third in the image of their source; the others fall into any, mostly as false positives
    found_case = np.where(
        generator.random(num_detections) < 1 / 3,
        case[source],
        generator.integers(num_cases, size=num_detections),
    )
    boxes = lesions[source] + generator.normal(0, 4, (num_detections, 2 * dims))
    score = generator.beta(1, 4, num_detections)
    ignore = np.zeros(num_lesions, dtype=bool)
    return Detections(found_case, boxes, score), Lesions(case, lesions, ignore), num_cases


def synthetic_marks(generator, num_cases, num_nodules, num_excluded, num_marks):
    """Findings of 3 to 30 mm in scans of 300 mm, a tenth of the marks near one of them."""
    total = num_nodules + num_excluded
    case = generator.integers(num_cases, size=total)
    centers = generator.uniform(0, 300, (total, 3))
    spheres = np.hstack([centers, generator.uniform(3, 30, (total, 1))])
    # excluded findings come after the nodules
    ignore = np.arange(total) >= num_nodules
    source = generator.integers(total, size=num_marks)
    near = generator.random((num_marks, 1)) < 0.1
    spread = generator.uniform(0, 300, (num_marks, 3))
    marks = np.where(near, centers[source] + generator.normal(0, 3, spread.shape), spread)
    score = generator.beta(1, 4, num_marks)
    return Detections(case[source], marks, score), Lesions(case, spheres, ignore), num_cases


def froc_by_loop(detections, lesions, num_cases, protocol):
    """(l,) sensitivities at the protocol's levels, found one detection after the other."""
    of_case = [np.flatnonzero(lesions.case == i) for i in range(num_cases)]
    order = np.argsort(detections.case, kind='stable')
    # ties as evaluate_froc puts them: case by case, then by the same unstable sort
    order = order[np.argsort(detections.score[order])[::-1]]
    # without a limit a case may have them all
    marks_left = np.full(num_cases, protocol.max_per_case or len(order))
    hit = np.zeros(len(lesions.case), dtype=bool)
    found, missed, sensitivity, fp = 0, 0, [0], [0]
    for detection in tqdm(order, 'one by one', leave=False):
        case = detections.case[detection]
        marks_left[case] -= 1
        if marks_left[case] < 0:
            continue
        near = of_case[case]
        matched = near[protocol.criterion(detections.geometry[detection], lesions.geometry[near])]
        # a lesion counts once, an ignored one never; a match of either is no false positive
        new = matched[~hit[matched] & ~lesions.ignore[matched]]
        hit[new] = True
        found += len(new)
        missed += not len(matched)
        sensitivity.append(found / (~lesions.ignore).sum())
        fp.append(missed / num_cases)
    return np.interp(protocol.fp_rates, fp, sensitivity)


def compare(name, submission, protocol, repeats) -> dict:
    """Evaluate one submission at once, the best of some runs, and detection by detection.

    Returns:
        dict: ``name``; numbers of ``detections``, ``items`` and ``lesions``; ``seconds`` of the
        evaluation and ``loop_seconds`` of that one by one; ``mean`` sensitivity and the greatest
        ``difference`` between the two.
    """
    detections, lesions, num_cases = submission
    results = [evaluate_froc(detections, lesions, num_cases, protocol) for _ in range(repeats)]
    best = min(results, key=lambda result: result['seconds'])
    # once: it takes long enough to be measured
    expected, took = time_call(froc_by_loop, detections, lesions, num_cases, protocol)
    return dict(
        name=name,
        detections=len(detections.score),
        items=num_cases,
        lesions=best['num_lesions'],
        seconds=best['seconds'],
        loop_seconds=took.wall,
        mean=best['mean'],
        difference=float(np.abs(np.array(best['sensitivity']) - expected).max()),
    )


def measure(args: argparse.Namespace) -> list[dict]:
    """Time the submissions of the three benchmarks."""
    if args.repeats < 1:
        raise UserError('--repeats must be at least 1')
    generator = np.random.default_rng(args.seed)
    # images and lesions of DeepLesion's test split, with about 52 detections an image
    boxes = synthetic_boxes(generator, 4831, 4912, 250_000, 2)
    figures = [compare('DeepLesion', boxes, deeplesion_protocol(), args.repeats)]
    boxes = synthetic_boxes(generator, 800, 4155, 87_000, 3)
    figures.append(compare('LENS', boxes, lens_protocol(), args.repeats))
    marks = synthetic_marks(generator, 888, 1186, 35_192, 55_000)
    figures.append(compare('LUNA16', marks, luna16_protocol(), args.repeats))
    return figures


COLUMNS = {
    '': lambda row: row['name'],
    'detections': lambda row: f'{row["detections"]:,}',
    'items': lambda row: f'{row["items"]:,}',
    'lesions': lambda row: f'{row["lesions"]:,}',
    's': lambda row: f'{row["seconds"]:.3f}',
    'detections/s': lambda row: f'{row["detections"] / row["seconds"]:,.0f}',
    'one by one s': lambda row: f'{row["loop_seconds"]:.2f}',
    'times': lambda row: f'{row["loop_seconds"] / row["seconds"]:.0f}',
    'mean': lambda row: f'{row["mean"]:.4f}',
    'difference': lambda row: f'{row["difference"]:.1e}',
}


@cli
def main():
    parser = BenchmarkParser(__doc__, 'detections and lesions')
    parser.add_argument('--repeats', type=int, default=3, help='the best of so many runs counts')
    parser.run(measure, partial(format_table, columns=COLUMNS))


if __name__ == '__main__':
    main()
