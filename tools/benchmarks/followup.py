"""Pair the lesions of the phantom's repeated studies, whose true pairs are known.

Each patient has two studies with their own slices, noise and lesion sizes; the later one is turned
and shifted at random. Both are registered, and all true lesions paired by position, and with
--embedder also by their embeddings. --errors moves each expected position by a random distance
along each axis, as breathing does, which the phantom does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from harness.benchmark import format_table
from harness.timing import time_call
from tqdm import tqdm

from mmlesion.followup.pairing import StudyLesions, pair_lesions
from mmlesion.followup.registration import register_rigid
from mmlesion.io.results import DetectedLesion
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli

# the phantom is beside the command that writes it
sys.path.append(str(Path(__file__).parents[1] / 'dataset_converters'))

from phantom.lesions import Lesion
from phantom.patient import PatientOptions, Study, draw_patient
from phantom.studies import move_image, study_image

TURN, SHIFT_MM = 0.05, 40.0  # standard deviations of the pose: radians and mm


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--patients', type=int, default=40, help='number (default: 40)')
    parser.add_argument('--size', type=int, default=256, help='px of a slice (default: 256)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--errors',
        type=float,
        nargs='+',
        default=[0.0],
        metavar='MM',
        help='standard deviations along each axis of the expected positions (default: 0)',
    )
    parser.add_argument(
        '--embedder', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='of a LesionEmbedding'
    )
    args = parser.parse_args(argv)
    if args.patients < 1 or args.size < 64 or args.seed < 0 or min(args.errors) < 0:
        raise UserError('give at least 1 patient, 64 px, and a seed and errors from 0 on')
    return args


def draw_pose(generator: np.random.Generator) -> sitk.Euler3DTransform:
    pose = sitk.Euler3DTransform()
    pose.SetRotation(*generator.normal(0, TURN, 3).tolist())
    pose.SetTranslation(generator.normal(0, SHIFT_MM, 3).tolist())
    return pose


def move_points(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Return points (n, 3) x, y, z in mm, moved."""
    moved = map(transform.TransformPoint, points.tolist())
    return np.array(list(moved))


def lesions_of(study: Study, pose: sitk.Transform) -> tuple[np.ndarray, StudyLesions]:
    """Return the lesions' numbers, the same in all studies of a patient, and the lesions."""
    lesions = study.lesions
    centers = [pose.TransformPoint(np.array(lesion.center, float).tolist()) for lesion in lesions]
    diameters = np.array([lesion.profile.extent.max() for lesion in lesions])
    numbers = np.array([lesion.number for lesion in lesions])
    return numbers, StudyLesions(np.reshape(centers, (-1, 3)), diameters)


def as_detected(lesion: Lesion, image: sitk.Image) -> DetectedLesion:
    """Return a true lesion as if a detector had found its box."""
    width, height = lesion.profile.extent
    half = np.array([width / 2, height / 2, lesion.depth])
    center = np.array(lesion.center, float)
    corners = [
        image.TransformPhysicalPointToContinuousIndex(point.tolist())
        for point in (center - half, center + half)
    ]
    key_slice = image.TransformPhysicalPointToIndex(center.tolist())[2]
    return DetectedLesion(
        id=lesion.number,
        label='lesion',
        score=1.0,
        center_mm=center,
        bbox_voxel=np.concatenate(corners),
        diameter_mm=max(width, height),
        short_diameter_mm=min(width, height),
        diameter_source='box',
        key_slice=key_slice,
        recist_voxel=None,
    )


def embeddings(embed: Callable, study: Study, image: sitk.Image) -> np.ndarray:
    """Return the embedding of each lesion of a study, from the image before it is moved."""
    lesions = [as_detected(lesion, image) for lesion in study.lesions]
    return embed(CTVolume(image), lesions)


def load_embedder(paths: list[str] | None) -> Callable | None:
    if paths is None:
        return None
    from mmlesion.apis.embedding_inferencer import EmbeddingInferencer  # with torch

    return EmbeddingInferencer(*paths)


@dataclass
class Count:
    """Pairs found at one error of the expected positions.

    Args:
        error_mm (float): Standard deviation along each axis.
        by (str): What lesions are paired by.
        found (int): Pairs of the same lesion.
        wrong (int): Pairs of two lesions.
    """

    error_mm: float
    by: str
    found: int = 0
    wrong: int = 0

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Count pairs by the lesions' numbers in both studies, each of shape (p,)."""
        same = first == second
        self.found += int(same.sum())
        self.wrong += int((~same).sum())


BY_POSITION, BY_BOTH = 'position', 'position, embedding'


def pair_both_ways(
    counts: list[Count],
    numbers: tuple[np.ndarray, np.ndarray],
    lesions: tuple[StudyLesions, StudyLesions],
    expected: np.ndarray,
    generator: np.random.Generator,
) -> None:
    """Pair a patient's lesions at each error, without embeddings and with, and count."""
    noise = generator.normal(size=expected.shape)
    plain = [one._replace(embedding=None) for one in lesions]
    for count in counts:
        earlier, later = plain if count.by == BY_POSITION else lesions
        pairs = pair_lesions(earlier, later, expected + count.error_mm * noise)
        count.add(numbers[0][pairs.earlier], numbers[1][pairs.later])


def report(counts: list[Count], true_pairs: int, errors: list, seconds: list) -> str:
    """Return the table of pairs and a line on the registration."""
    columns = {
        'error, mm': lambda row: f'{row["error_mm"]:g}',
        'paired by': lambda row: row['by'],
        'true pairs found': lambda row: (
            f'{row["found"]} of {true_pairs} ({row["found"] / max(true_pairs, 1):.1%})'
        ),
        'wrong pairs': lambda row: str(row['wrong']),
    }
    table = format_table([vars(count) for count in counts], columns)
    return (
        f'{table}\nregistration: median error {np.median(errors):.1f} mm, 90th percentile '
        f'{np.quantile(errors, 0.9):.1f} mm, {np.median(seconds):.1f} processor s'
    )


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    options = PatientOptions(size=args.size, studies=(0.0, 1.0))
    embed = load_embedder(args.embedder)
    ways = [BY_POSITION, BY_BOTH] if embed else [BY_POSITION]
    counts = [Count(error, way) for error in args.errors for way in ways]
    poses, noise = np.random.default_rng(args.seed).spawn(2)
    seeds = np.random.SeedSequence(args.seed).spawn(args.patients)
    true_pairs = 0
    errors, seconds = [], []
    for seed in tqdm(seeds, 'patients'):
        patient = draw_patient(seed, options)
        pose = draw_pose(poses)
        # the later study is moved, so that registration has something to undo
        before, after = [study_image(patient, study, options) for study in patient.studies]
        transform, spent = time_call(register_rigid, before, move_image(after, pose))
        first, earlier = lesions_of(patient.studies[0], sitk.Transform())
        second, later = lesions_of(patient.studies[1], pose)
        if embed:
            earlier = earlier._replace(embedding=embeddings(embed, patient.studies[0], before))
            later = later._replace(embedding=embeddings(embed, patient.studies[1], after))
        expected = move_points(transform, earlier.center_mm)
        # where the lesions of the earlier study truly lie in the moved later one
        true = move_points(pose, earlier.center_mm)
        errors.append(np.linalg.norm(expected - true, axis=1).mean())
        seconds.append(spent.processor)
        # a lesion has the same number in all studies
        true_pairs += len(np.intersect1d(first, second))
        pair_both_ways(counts, (first, second), (earlier, later), expected, noise)
    print(report(counts, true_pairs, errors, seconds))


if __name__ == '__main__':
    main()
