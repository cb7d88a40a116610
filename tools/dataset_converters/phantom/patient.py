"""Synthetic patients: a trunk, sites with lesions and vessels, and the studies that show them.

This module is independent of the benchmarks' files: a layout draws a :class:`Patient` and renders
the slices that it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from scipy import ndimage

from .anatomy import AIR, FIELD_OF_VIEW, Organ, Rib, Trunk, draw_trunk
from .lesions import (
    LARGEST_EXTENT,
    LESION_LOOKS,
    Lesion,
    Profile,
    Vessel,
    draw_lesion,
    draw_profile,
    draw_vessel,
    sample_extents,
)
from .shapes import Cover, Grid, blend, coverage

MEAN_SPACING = 0.8  # mm/px, around which a patient's studies vary
_CANDIDATES = 50  # places that are tried for a finding
_DIRECTIONS = 8  # that are tried for a vessel
_GOOD_FIT = 0.95  # share of a finding's rim that should lie in its organ
_CLEARANCE = 3.0  # mm between the findings of a level
_ORGAN_EDGE = 1.2  # mm, width of an organ's border
_TISSUE = -960.0  # HU, above that of air and below that of lung
_SITE_GAP = 12.0  # mm of height between two sites
_END_SLICES = 3  # a scan that ends at a site ends within so many slices of it


@dataclass(frozen=True)
class PatientOptions:
    """Options of the patients.

    Attributes:
        size: Rows and columns of a slice, px.
        lesion_scale: Factor on DeepLesion's distribution of lesion sizes.
        slice_intervals: mm, drawn from with equal chances.
        lesion_types: DeepLesion's coarse types that occur.
        sites: Fewest and most levels with lesions.
        lesions_per_site: Chances of 1, 2, ... annotated lesions at a level.
        vessels_per_lesion: Look-alike vessels at a level beside one for each lesion, mean.
        unannotated: Chance that a level has one more lesion that is not annotated.
        studies: Chances of 1, 2, ... studies.
        at_end: Chance that a scan begins, or ends, at its first, or last, level.
        noise: Standard deviation of the scanner's noise, HU.
    """

    size: int = 256
    lesion_scale: float = 1.0
    slice_intervals: tuple[float, ...] = (1.0, 2.0, 5.0)
    lesion_types: tuple[int, ...] = tuple(LESION_LOOKS)
    sites: tuple[int, int] = (2, 4)
    lesions_per_site: tuple[float, ...] = (0.65, 0.27, 0.08)
    vessels_per_lesion: float = 0.5
    unannotated: float = 0.15
    studies: tuple[float, ...] = (0.5, 0.3, 0.2)
    at_end: float = 0.25
    noise: float = 14.0

    @property
    def body_scale(self) -> float:
        """Return the trunk's relative size that fills the image at the usual spacing."""
        return self.size * MEAN_SPACING / FIELD_OF_VIEW


_Finding = TypeVar('_Finding', Lesion, Vessel)


@dataclass(frozen=True)
class Site:
    """A level of the body, ``z`` in mm, with the lesions and vessels whose centers lie there."""

    z: float
    lesions: tuple[Lesion, ...]
    vessels: tuple[Vessel, ...]

    def changed(self, z: float, growth: np.ndarray) -> Site:
        """Return the same lesions and vessels at height ``z``, each ``growth`` times as wide."""
        count = len(self.lesions)
        return Site(
            z,
            tuple(_changed(*pair, z) for pair in zip(self.lesions, growth)),
            tuple(_changed(*pair, z) for pair in zip(self.vessels, growth[count:])),
        )


def _changed(finding: _Finding, growth: float, z: float) -> _Finding:
    center = (*finding.center[:2], z)
    return replace(finding, center=center, profile=finding.profile.scaled(growth))


@dataclass(frozen=True)
class Study:
    """One scan of a patient.

    Attributes:
        spacing: In-plane mm per pixel.
        interval: mm between slices.
        top: Height of the first slice, mm.
        num_slices: How many the scan has.
        origin: x, y in mm of pixel (0, 0).
        sites: At this study's size, each on a slice.
        seed: Of noise and texture.
    """

    spacing: float
    interval: float
    top: float
    num_slices: int
    origin: tuple[float, float]
    sites: tuple[Site, ...]
    seed: np.random.SeedSequence

    @property
    def lesions(self) -> list[Lesion]:
        """Return the lesions of all sites; ``number`` tells a lesion's in another study."""
        return [lesion for site in self.sites for lesion in site.lesions]

    @property
    def vessels(self) -> list[Vessel]:
        """Return the vessels of all sites."""
        return [vessel for site in self.sites for vessel in site.vessels]

    def slice_of(self, z: float) -> int:
        """Return the 0-based index of the slice at the height ``z`` in mm."""
        return int(round((z - self.top) / self.interval))

    def grid(self, size: int, first: int, last: int) -> Grid:
        """Return the :class:`Grid` of the slices ``first`` to ``last``, 0-based and inclusive."""
        heights = self.top + self.interval * np.arange(first, last + 1)
        return Grid(size, self.spacing, self.origin, heights)


@dataclass(frozen=True)
class Patient:
    """A synthetic patient: ``trunk``, ``studies`` in order, ``gender`` and ``age`` at the first."""

    trunk: Trunk
    studies: tuple[Study, ...]
    gender: str
    age: int


def draw_patient(seed: np.random.SeedSequence, options: PatientOptions) -> Patient:
    """Draw a patient; the same seed gives the same patient.

    Args:
        seed: Source of chance.
        options: Options of the patients.
    """
    seeds = seed.spawn(1 + len(options.studies))
    rng = np.random.default_rng(seeds[0])
    trunk = draw_trunk(rng, options.body_scale)
    sites = _draw_sites(rng, trunk, options)
    count = 1 + rng.choice(len(options.studies), p=options.studies)
    studies = tuple(
        _draw_study(child, order, trunk, sites, options)
        for order, child in enumerate(seeds[1 : 1 + count])
    )
    return Patient(trunk, studies, str(rng.choice(['F', 'M'])), int(rng.integers(20, 85)))


def render(
    patient: Patient, study: Study, first: int, last: int, options: PatientOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Make the CT slices ``first`` to ``last`` (0-based, inclusive) of a study.

    Returns:
        tuple[ndarray, ndarray]: (z, y, x) int16 HU, and (z, y, x) uint8 true lesion masks: the
        lesion's ``number``, 0 where there is none.
    """
    grid = study.grid(options.size, first, last)
    shape = (len(grid.z), options.size, options.size)
    volume = np.full(shape, AIR, np.float32)
    labels = np.zeros(shape, np.uint8)
    for organ in patient.trunk.organs:
        _paint_organ(volume, grid, organ)
    for vessel in study.vessels:
        _paint_finding(volume, grid, vessel)
    for lesion in study.lesions:
        _paint_finding(volume, grid, lesion, labels)
    _paint_organ(volume, grid, patient.trunk.table)
    # Seeded by the first slice, so that a run of slices does not depend on the others rendered.
    rng = np.random.default_rng([first] + study.seed.generate_state(4).tolist())
    return _add_noise(rng, volume, study, options), labels


def slices_around(
    patient: Patient, study: Study, names: Sequence[str], margin: float
) -> tuple[int, int]:
    """Return the first and last slice, 0-based, around organs and all findings of a scan.

    Args:
        patient: The patient.
        study: One of its scans.
        names: Of the organs.
        margin: mm above and below.
    """
    organs = patient.trunk.named(names)
    ends = [site.z for site in study.sites]
    for organ in organs:
        middle, reach = organ.center[2], organ.radii[2]
        ends += [middle - reach, middle + reach]
    first, last = study.slice_of(min(ends) - margin), study.slice_of(max(ends) + margin)
    return max(first, 0), min(last, study.num_slices - 1)


def organ_mask(
    patient: Patient,
    study: Study,
    first: int,
    last: int,
    options: PatientOptions,
    names: Sequence[str],
) -> np.ndarray:
    """Return a mask of organs on the slices ``first`` to ``last`` (0-based, inclusive).

    They are hidden by whatever :func:`render` paints over them, except lesions.

    Returns:
        ndarray: (z, y, x) bool.
    """
    grid = study.grid(options.size, first, last)
    mask = np.zeros((len(grid.z), options.size, options.size), bool)
    for organ in patient.trunk.organs:
        _mark(mask, coverage(grid, organ.section(grid.z), _ORGAN_EDGE), organ.name in names)
    for vessel in study.vessels:
        _mark(mask, _cover_of(grid, vessel), False)
    return mask


def _mark(labels: np.ndarray, part: Cover | None, value: int) -> None:
    if part is not None:
        labels[part.where][part.share >= 0.5] = value


def _cover_of(grid: Grid, finding: Lesion | Vessel) -> Cover | None:
    """Return :func:`coverage` of a lesion or vessel."""
    profile = finding.profile
    return coverage(grid, finding.section(grid.z), profile.look.edge, profile.lobes)


def _paint_organ(volume: np.ndarray, grid: Grid, organ: Organ | Rib) -> None:
    part = coverage(grid, organ.section(grid.z), _ORGAN_EDGE)
    if part is not None:
        blend(volume, part, organ.hu)


def _paint_finding(
    volume: np.ndarray, grid: Grid, finding: Lesion | Vessel, labels: np.ndarray | None = None
) -> None:
    profile = finding.profile
    part = _cover_of(grid, finding)
    if part is None:
        return
    # A vessel that winds out of the body is not to be seen in the air around it.
    part = part._replace(share=part.share * (volume[part.where] > _TISSUE))
    blend(volume, part, profile.hu + profile.look.rim)
    if profile.look.rim:
        section = finding.section(grid.z)
        inner = section._replace(radii=0.75 * section.radii)
        core = coverage(grid, inner, profile.look.edge, profile.lobes)
        if core is not None:  # of a lesion at the image's edge only the rim may be in it
            blend(volume, core, profile.hu)
    if labels is not None and isinstance(finding, Lesion):
        _mark(labels, part, finding.number)


def _add_noise(
    rng: np.random.Generator, volume: np.ndarray, study: Study, options: PatientOptions
) -> np.ndarray:
    """Add tissue texture, the scanner's noise, and the scanner's circular field of view."""
    # Texture has a correlation of 2 mm in all directions, and is drawn at half the resolution.
    depth, height, width = volume.shape
    sigma = np.divide(2.0, (study.interval, 2 * study.spacing, 2 * study.spacing))
    coarse = _blurred(rng, (depth, (height + 1) // 2, (width + 1) // 2), sigma)
    texture = np.stack([cv2.resize(plane, (width, height)) for plane in coarse])
    strength = np.where(volume < -950, 0, np.where(volume < -400, 35, 7)).astype(np.float32)
    volume += strength * texture + options.noise * _blurred(rng, volume.shape, (0, 0.7, 0.7))
    axis = np.arange(options.size) - (options.size - 1) / 2
    volume[:, np.hypot(axis[:, None], axis) > options.size / 2] = -1024
    return np.rint(volume.clip(-1024, 3071)).astype(np.int16)


def _blurred(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return (z, y, x) noise of standard deviation 1, blurred by ``sigma`` voxels."""
    noise = rng.standard_normal(shape, np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode='wrap', truncate=2.5)
    return noise / noise.std()


def _draw_sites(
    rng: np.random.Generator, trunk: Trunk, options: PatientOptions
) -> tuple[Site, ...]:
    """Draw levels with annotated lesions from top to bottom, lesions numbered from 1."""
    sites: list[Site] = []
    number = 1
    for _ in range(rng.integers(options.sites[0], options.sites[1] + 1)):
        site = _draw_site(rng, trunk, [other.z for other in sites], number, options)
        if any(lesion.annotated for lesion in site.lesions):
            number += len(site.lesions)
            sites.append(site)
    if not sites:
        return _draw_sites(rng, trunk, options)
    return tuple(sorted(sites, key=lambda site: site.z))


def _draw_site(
    rng: np.random.Generator,
    trunk: Trunk,
    heights: Sequence[float],
    number: int,
    options: PatientOptions,
) -> Site:
    """Draw one level; the first finding determines its height, which the others share.

    Lesions and vessels are placed in a random order, so that neither kind gets the better places.
    """
    annotated = 1 + rng.choice(len(options.lesions_per_site), p=options.lesions_per_site)
    roles = ['annotated'] * annotated
    roles += ['unannotated'] * int(rng.random() < options.unannotated)
    roles += ['vessel'] * (annotated + rng.poisson(options.vessels_per_lesion * annotated))
    rng.shuffle(roles)
    extents = sample_extents(rng, len(roles), options.size, options.lesion_scale) * MEAN_SPACING
    lesions: list[Lesion] = []
    vessels: list[Vessel] = []
    for role, extent in zip(roles, extents):
        placed = _place(rng, trunk, extent, [*lesions, *vessels], heights, options)
        if placed is None:
            continue
        profile, center = placed
        if role == 'vessel':
            vessels.append(_draw_vessel_inside(rng, trunk, profile, center))
        else:
            listed, own = role == 'annotated', number + len(lesions)
            lesions.append(draw_lesion(rng, profile, center, listed, own))
    findings: list[Lesion | Vessel] = [*lesions, *vessels]  # none, where there is no room left
    return Site(findings[0].center[2] if findings else 0.0, tuple(lesions), tuple(vessels))


def _draw_vessel_inside(
    rng: np.random.Generator, trunk: Trunk, profile: Profile, center: tuple[float, float, float]
) -> Vessel:
    """Draw a vessel whose course stays in the body, if one of a few directions allows it."""
    for _ in range(_DIRECTIONS):
        vessel = draw_vessel(rng, profile, center, MEAN_SPACING)
        heights = center[2] + np.linspace(-10, 10, 9)
        path = np.column_stack([vessel.section(heights).centers, heights])
        if 'air' not in trunk.top_organ(path):
            break
    return vessel


def _place(
    rng: np.random.Generator,
    trunk: Trunk,
    extent: np.ndarray,
    others: Sequence[Lesion | Vessel],
    heights: Sequence[float],
    options: PatientOptions,
) -> tuple[Profile, tuple] | None:
    """Return a profile of ``extent`` (mm) and the center of a location suitable for its type.

    The first type, in a random order, that has a place in its organs is taken; for a finding that
    is too large for all of them, the best place in the body, or None where there is no room left.
    """
    kinds = options.lesion_types
    shares = np.array([LESION_LOOKS[kind].share for kind in kinds])
    best_fit, best = -1.0, None
    for kind in rng.choice(kinds, len(kinds), replace=False, p=shares / shares.sum()):
        profile = draw_profile(rng, int(kind), extent)
        centers = _candidates(rng, trunk, profile.look.hosts, others)
        if len(centers) == 0:
            continue
        fits = _fit(trunk, profile, centers, others, heights)
        if fits.max() > best_fit:
            best_fit, best = fits.max(), (profile, tuple(centers[fits.argmax()]))
        if best_fit >= _GOOD_FIT:
            break
    return best


def _candidates(
    rng: np.random.Generator, trunk: Trunk, hosts: Sequence[str], others: Sequence[Lesion | Vessel]
) -> np.ndarray:
    """Return (n, 3) points in one of the organs ``hosts``, at the height of ``others`` if given."""
    organs = trunk.named(hosts)
    organ = organs[rng.integers(len(organs))]
    middle, reach = organ.center[2], 0.8 * organ.radii[2]
    z = (
        np.full(_CANDIDATES, others[0].center[2])
        if others
        else rng.uniform(max(middle - reach, 0), min(middle + reach, trunk.length), _CANDIDATES)
    )
    centers, radii, _ = organ.section(z)
    angle, radius = rng.uniform(0, 2 * np.pi, _CANDIDATES), np.sqrt(rng.random(_CANDIDATES))
    offsets = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii
    return np.column_stack([centers + offsets, z])[radii.min(axis=1) > 0]


def _fit(
    trunk: Trunk,
    profile: Profile,
    centers: np.ndarray,
    others: Sequence[Lesion | Vessel],
    heights: Sequence[float],
) -> np.ndarray:
    """Return the fraction of the rim in the type's organs; -1 outside the body or on findings.

    A first finding must also keep off the ``heights`` (mm) that have findings already.
    """
    rim = np.concatenate([_rim(profile), np.zeros((1, 3))])
    names = trunk.top_organ((centers[:, None] + rim).reshape(-1, 3)).reshape(-1, len(rim))
    fits = np.isin(names, profile.look.hosts).mean(axis=1)
    fits[(names == 'air').any(axis=1)] = -1
    for other in others:
        room = _CLEARANCE + 0.6 * (max(profile.diameters) + max(other.profile.diameters))
        offsets = centers - other.center
        fits[np.hypot(offsets[:, 0], offsets[:, 1]) < room] = -1
    if not others and heights:
        fits[np.abs(np.subtract.outer(centers[:, 2], heights)).min(axis=1) < _SITE_GAP] = -1
    return fits


def _rim(profile: Profile) -> np.ndarray:
    """Return (8, 3) points on the outline of the ellipse, relative to its center, mm."""
    turn = np.arange(8) * np.pi / 4
    u, v = np.multiply([np.cos(turn), np.sin(turn)], np.reshape(profile.diameters, (2, 1))) / 2
    cos, sin = np.cos(profile.angle), np.sin(profile.angle)
    return np.stack([u * cos - v * sin, u * sin + v * cos, np.zeros(8)], axis=1)


def _draw_study(
    seed: np.random.SeedSequence,
    order: int,
    trunk: Trunk,
    sites: Sequence[Site],
    options: PatientOptions,
) -> Study:
    """Draw scan ``order`` (from 0) of a patient, which shows most sites, grown since the first.

    Sites move to the nearest slice, so that an annotated section goes through a lesion's center.
    """
    rng = np.random.default_rng(seed)
    interval = float(rng.choice(options.slice_intervals))
    spacing = MEAN_SPACING * rng.uniform(0.93, 1.07)
    shown = [site for site in sites if rng.random() < 0.85] or [sites[0]]
    shift = rng.uniform(-4, 4, 2) - (options.size - 1) / 2
    before, after = rng.integers(0, _END_SLICES, 2)
    top = shown[0].z - before * interval if rng.random() < options.at_end else 0.0
    top = max(top, 0.0)
    bottom = shown[-1].z + after * interval if rng.random() < options.at_end else trunk.length
    num_slices = max(int((min(bottom, trunk.length) - top) / interval + 1e-6), 0) + 1
    snapped = []
    for site in shown:
        index = min(round((site.z - top) / interval), num_slices - 1)
        # since the first study, within the largest extent
        findings = site.lesions + site.vessels
        drift = np.exp(order * rng.normal(0.1, 0.15, len(findings)))
        extents = np.array([finding.profile.extent.max() for finding in findings])
        growth = np.minimum(drift, LARGEST_EXTENT * options.size * MEAN_SPACING / extents)
        snapped.append(site.changed(top + index * interval, growth))
    return Study(spacing, interval, top, num_slices, tuple(shift * spacing), tuple(snapped), seed)
