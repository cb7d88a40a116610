"""Pair the lesions of the phantom's repeated studies, whose true pairs are known.

Each patient has two studies with their own slices, noise and lesion sizes; the later one is turned
and shifted at random. Both are registered, and all true lesions paired by position alone.
"""

from __future__ import annotations

import argparse

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from mmlesion.analysis.benchmark import format_table
from mmlesion.analysis.timing import time_call
from mmlesion.followup.pairing import StudyLesions, pair_lesions
from mmlesion.followup.registration import register_rigid
from mmlesion.phantom.patient import PatientOptions, Study, draw_patient
from mmlesion.phantom.studies import move_image, study_image, study_lesions
from mmlesion.utils import UserError, cli

TURN, SHIFT_MM = 0.05, 40.0  # standard deviations of the pose: radians and mm


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--patients', type=int, default=40, help='number (default: 40)')
    parser.add_argument('--size', type=int, default=256, help='px of a slice (default: 256)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    if args.patients < 1 or args.size < 64 or args.seed < 0:
        raise UserError('give at least 1 patient, 64 px, and a seed from 0 on')
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
    lesions = study_lesions(study)
    centers = [pose.TransformPoint(np.array(lesion.center, float).tolist()) for lesion in lesions]
    diameters = np.array([lesion.profile.extent.max() for lesion in lesions])
    numbers = np.array([lesion.number for lesion in lesions])
    return numbers, StudyLesions(np.reshape(centers, (-1, 3)), diameters)


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    options = PatientOptions(size=args.size, studies=(0.0, 1.0))
    generator = np.random.default_rng(args.seed)
    seeds = np.random.SeedSequence(args.seed).spawn(args.patients)
    true_pairs = found = wrong = 0
    errors, seconds = [], []
    for seed in tqdm(seeds, 'patients'):
        patient = draw_patient(seed, options)
        pose = draw_pose(generator)
        # the later study is moved, so that registration has something to undo
        before, after = [study_image(patient, study, options) for study in patient.studies]
        transform, spent = time_call(register_rigid, before, move_image(after, pose))
        first, earlier = lesions_of(patient.studies[0], sitk.Transform())
        second, later = lesions_of(patient.studies[1], pose)
        expected = move_points(transform, earlier.center_mm)
        # where the lesions of the earlier study truly lie in the moved later one
        true = move_points(pose, earlier.center_mm)
        errors.append(np.linalg.norm(expected - true, axis=1).mean())
        seconds.append(spent.processor)
        pairs = pair_lesions(earlier, later, expected)
        # a lesion has the same number in all studies
        same = first[pairs.earlier] == second[pairs.later]
        true_pairs += len(np.intersect1d(first, second))
        found += int(same.sum())
        wrong += int((~same).sum())
    columns = {
        'patients': lambda _: str(args.patients),
        'true pairs found': lambda _: f'{found} of {true_pairs} ({found / max(true_pairs, 1):.1%})',
        'wrong pairs': lambda _: str(wrong),
        'registration error, mm': lambda _: f'{np.median(errors):.1f}',
        '90th percentile': lambda _: f'{np.quantile(errors, 0.9):.1f}',
        'processor, s': lambda _: f'{np.median(seconds):.1f}',
    }
    print(format_table([{}], columns))


if __name__ == '__main__':
    main()
