"""A synthetic trunk: organs as stacked ellipses with plausible HU.

Points are (x, y, z) in mm: x to the patient's left, y to posterior, z to inferior, with x = y = 0
in the middle of the trunk and z = 0 at its upper end. The tables are an adult's; ``scale`` shrinks
all of it, so that a small image holds a whole trunk at the usual pixel spacing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .shapes import Section

TRUNK_LENGTH = 510.0  # mm, of the adult
FIELD_OF_VIEW = 410.0  # mm, of the adult's image
AIR = -1000.0  # HU

_BOWEL_LOOPS = 9
_RIBS = 12


@dataclass(frozen=True)
class Organ:
    """A stack of ellipses; ``power`` 2 makes an ellipsoid, larger ones a rounded cylinder."""

    name: str
    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    power: float
    hu: float

    def section(self, z: np.ndarray) -> Section:
        """Return the ellipses (:class:`Section`) at the heights ``z`` (n,) in mm."""
        x, y, middle = self.center
        reach = np.clip(np.abs(z - middle) / self.radii[2], 0, 1)
        shrink = np.sqrt(1 - reach**self.power)
        centers = np.broadcast_to((x, y), (len(z), 2))
        return Section(centers, shrink[:, None] * self.radii[:2], np.zeros(len(z)))


# name, center x y z, radii x y z (mm), power, HU. Later rows cover earlier ones. The
# number after the radii is the power of :class:`Organ`.
_ORGANS = (
    Organ('fat', (0, 0, 250), (172, 122, 400), 16, -100),
    Organ('muscle', (0, 2, 250), (152, 103, 400), 16, 55),
    Organ('chest', (0, -8, 110), (138, 84, 150), 16, -90),
    Organ('abdomen', (0, -8, 320), (138, 84, 110), 16, -95),
    Organ('pelvis', (0, -8, 470), (128, 80, 90), 16, -95),
    Organ('lung', (-78, -8, 120), (56, 74, 135), 4, -850),
    Organ('lung', (78, -8, 120), (56, 74, 135), 4, -850),
    Organ('mediastinum', (0, -25, 110), (36, 62, 150), 8, -75),
    Organ('trachea', (0, 2, 40), (8, 8, 80), 8, -985),
    Organ('heart', (24, -40, 190), (58, 44, 55), 2, 110),
    Organ('liver', (-68, -14, 285), (68, 66, 66), 3, 112),
    Organ('stomach', (64, -38, 290), (42, 36, 45), 2, 30),
    Organ('spleen', (100, 30, 285), (28, 38, 46), 2, 120),
    Organ('pancreas', (14, -4, 325), (52, 13, 16), 2, 85),
    Organ('kidney', (-64, 36, 358), (29, 31, 54), 3, 165),
    Organ('kidney', (64, 36, 358), (29, 31, 54), 3, 165),
    Organ('renal pelvis', (-55, 34, 358), (7, 9, 24), 2, 40),
    Organ('renal pelvis', (55, 34, 358), (7, 9, 24), 2, 40),
    Organ('psoas', (-42, 50, 400), (17, 19, 95), 8, 60),
    Organ('psoas', (42, 50, 400), (17, 19, 95), 8, 60),
    Organ('bladder', (0, -22, 482), (40, 32, 32), 2, 8),
    Organ('cortex', (-97, 22, 468), (20, 48, 58), 4, 420),
    Organ('cortex', (97, 22, 468), (20, 48, 58), 4, 420),
    Organ('bone', (-97, 22, 468), (16, 43, 53), 4, 210),
    Organ('bone', (97, 22, 468), (16, 43, 53), 4, 210),
    Organ('cortex', (0, 62, 250), (25, 21, 400), 16, 400),
    Organ('bone', (0, 62, 250), (22, 18, 400), 16, 200),
    Organ('cortex', (0, 96, 250), (5, 14, 400), 16, 380),
    Organ('canal', (0, 87, 250), (9, 8, 400), 16, 30),
    Organ('aorta', (16, 34, 270), (11, 11, 190), 8, 170),
    Organ('vena cava', (-15, 32, 370), (11, 9, 130), 8, 130),
)
_TABLE = Organ('table', (0, 138, 250), (150, 2.5, 400), 16, -150)


@dataclass(frozen=True)
class Rib:
    """A bone that runs in the chest wall from the spine forwards while it descends."""

    start: float  # mm, height at the spine
    descent: float  # mm from the spine to the front end
    side: int  # -1 right, 1 left
    ring: tuple[float, float]  # mm, radii x y of the chest wall
    radii: tuple[float, float]  # mm, along the wall and across
    name: str = 'rib'
    hu: float = 330.0

    def section(self, z: np.ndarray) -> Section:
        """Return the ellipses (:class:`Section`) at the heights ``z`` (n,) in mm."""
        along = (z - self.start) / self.descent
        # from behind (the spine) around the side, to the front at the end of the descent
        angle = np.pi / 2 - self.side * (0.25 + 0.65 * np.clip(along, 0, 1)) * np.pi
        centers = np.stack([np.cos(angle), np.sin(angle)], axis=1) * self.ring
        # the derivative of the ellipse by the angle: the rib's section lies along the wall
        tangent = np.arctan2(self.ring[1] * np.cos(angle), -self.ring[0] * np.sin(angle))
        # radii of 0 beyond the ends
        shown = ((along >= 0) & (along <= 1))[:, None]
        return Section(centers, shown * np.asarray(self.radii), tangent)


@dataclass(frozen=True)
class Trunk:
    """A patient's organs in the order in which they are painted, and the table beneath.

    ``length`` is the trunk's in mm.
    """

    organs: tuple[Organ | Rib, ...]
    table: Organ
    length: float

    def top_organ(self, points: ArrayLike) -> np.ndarray:
        """Return the visible organs at (n, 3) points x, y, z in mm; 'air' outside."""
        points = np.asarray(points, float)
        names = np.full(len(points), 'air', dtype='U16')
        for organ in self.organs:
            # later organs cover earlier ones, as they are painted
            names[_inside(organ, points)] = organ.name
        return names

    def named(self, names: Sequence[str]) -> list[Organ]:
        """Return the organs with one of ``names``, which are stacks of ellipses: no ribs."""
        organs = [organ for organ in self.organs if isinstance(organ, Organ)]
        return [organ for organ in organs if organ.name in names]


def draw_trunk(rng: np.random.Generator, scale: float) -> Trunk:
    """Draw a patient's anatomy.

    Args:
        rng: Source of chance.
        scale: Size of the trunk against an adult's, in all three directions.
    """
    build = scale * rng.uniform([0.9, 0.88, 1.0], [1.06, 1.04, 1.0])
    organs: list[Organ | Rib] = [_vary(rng, organ, build) for organ in _ORGANS]
    # painted before the kidneys, which cover it where they meet
    first_bowel = [organ.name for organ in organs].index('kidney')
    organs[first_bowel:first_bowel] = _draw_bowel(rng, build)
    organs += _draw_ribs(rng, build)
    return Trunk(tuple(organs), _vary(rng, _TABLE, build), TRUNK_LENGTH * scale)


def _vary(rng: np.random.Generator, organ: Organ, build: np.ndarray) -> Organ:
    # Hollow and layered shapes keep their place, or what surrounds them would show through.
    layered = organ.radii[2] == 400
    center = np.add(organ.center, 0 if layered else rng.uniform(-4, 4, 3)) * build
    radii = np.multiply(organ.radii, 1 if layered else rng.uniform(0.93, 1.05, 3)) * build
    hu = organ.hu + rng.normal(0, 0.04 * abs(organ.hu))
    return replace(organ, center=tuple(center), radii=tuple(radii), hu=hu)


def _draw_bowel(rng: np.random.Generator, build: np.ndarray) -> Iterator[Organ]:
    """Draw loops of bowel with fluid, and gas at the front of every third."""
    for index in range(_BOWEL_LOOPS):
        center = np.multiply(rng.uniform([-95, -62, 345], [95, 0, 450]), build)
        radii = np.multiply(rng.uniform([11, 10, 14], [24, 17, 30]), build)
        yield Organ('bowel', tuple(center), tuple(radii), 2, rng.uniform(20, 60))
        if index % 3 == 0:
            front = center - (0, 0.4 * radii[1], 0)
            yield Organ('gas', tuple(front), tuple(radii * (0.6, 0.45, 0.6)), 2, -900.0)


def _draw_ribs(rng: np.random.Generator, build: np.ndarray) -> Iterator[Rib]:
    spacing = 26 * build[2]
    first = rng.uniform(-60, -35) * build[2]
    ring = (145 * build[0], 94 * build[1])
    for index in range(_RIBS):
        for side in (-1, 1):
            start = first + index * spacing
            yield Rib(start, 85 * build[2], side, ring, (11 * build[0], 4.5 * build[1]))


def _inside(organ: Organ | Rib, points: np.ndarray) -> np.ndarray:
    centers, radii, angles = organ.section(points[:, 2])
    dx, dy = (points[:, :2] - centers).T
    cos, sin = np.cos(angles), np.sin(angles)
    # along the axes of the ellipse
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    rx, ry = np.maximum(radii, 1e-3).T
    return (u / rx) ** 2 + (v / ry) ** 2 <= 1
