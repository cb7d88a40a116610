"""Findings of synthetic patients: lesions, and vessels that look like them in a single slice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmlesion.io.schema import ABDOMEN_WINDOW

from .shapes import Lobes, Section

LARGEST_EXTENT = 0.3  # of a lesion, as a share of the image's side

# DeepLesion's box sides have the 1st percentile 13.5, the median 30 and the 99th 133 px with the
# padding. Each half of the RECIST extent's distribution is log-normal with a spread of its own.
_MEDIAN_EXTENT = 20.0
_SPREAD_BELOW = np.log(20.0 / 3.5) / 2.3263
_SPREAD_ABOVE = np.log(123.0 / 20.0) / 2.3263
_SIDE_CORRELATION = 0.88  # of the two sides' logarithms, in DeepLesion's validation split

_LARGEST_TILT = np.deg2rad(25)


@dataclass(frozen=True)
class LesionType:
    """Appearance of one of DeepLesion's eight coarse lesion types.

    Attributes:
        name: DeepLesion's name of the type.
        share: How often it is drawn.
        hosts: Organs that it lies in.
        hu: Range of its HU.
        edge: Width of its border in mm.
        lobing: Largest ripple of its outline, relative to its radius.
        rim: HU of its outer quarter above its inside.
        window: The display window, HU from and to.
    """

    name: str
    share: float
    hosts: tuple[str, ...]
    hu: tuple[float, float]
    edge: float = 1.2
    lobing: float = 0.12
    rim: float = 0.0
    window: tuple[float, float] = ABDOMEN_WINDOW


LESION_LOOKS = {
    1: LesionType('bone', 0.05, ('bone',), (20, 90), 1.5, 0.2),
    2: LesionType('abdomen', 0.20, ('abdomen', 'pancreas'), (30, 80)),
    3: LesionType('mediastinum', 0.15, ('mediastinum', 'chest'), (35, 90)),
    4: LesionType('liver', 0.14, ('liver',), (45, 75), 2.0, rim=25.0, window=(-160.0, 240.0)),
    5: LesionType('lung', 0.24, ('lung',), (-150, 60), 1.5, 0.22, window=(-1500.0, 500.0)),
    6: LesionType('kidney', 0.06, ('kidney',), (0, 45), 1.0, 0.04),
    7: LesionType('soft tissue', 0.08, ('fat', 'muscle', 'psoas'), (70, 130)),
    8: LesionType('pelvis', 0.08, ('pelvis',), (30, 80)),
}


@dataclass(frozen=True)
class Profile:
    """Appearance of a lesion or a vessel in a single slice, which does not distinguish the two.

    Attributes:
        type: DeepLesion's coarse lesion type, 1 to 8.
        diameters: The ellipse's diameters in mm along its first and second axis.
        angle: Of the first axis against the image's x axis, radians.
        lobes: Ripple of the outline.
        hu: Inside.
    """

    type: int
    diameters: tuple[float, float]
    angle: float
    lobes: Lobes
    hu: float

    @property
    def look(self) -> LesionType:
        """LesionType: Appearance of its type."""
        return LESION_LOOKS[self.type]

    @property
    def extent(self) -> np.ndarray:
        """Return width and height in mm of the box around the endpoints of both diameters."""
        return np.multiply(self.diameters, np.cos(self.angle))

    def scaled(self, factor: float) -> Profile:
        """Return the same outline scaled by ``factor``."""
        return replace(self, diameters=tuple(np.multiply(self.diameters, factor)))


@dataclass(frozen=True)
class Lesion:
    """A finding that is compact in z: its section shrinks on both sides of the center slice.

    Attributes:
        profile: The section through the center.
        center: x, y, z in mm.
        depth: Half its length in z, mm.
        annotated: Whether the benchmark's file lists it.
        number: The same for the same lesion in all studies of a patient.
    """

    profile: Profile
    center: tuple[float, float, float]
    depth: float
    annotated: bool = True
    number: int = 0

    def section(self, z: np.ndarray) -> Section:
        """Return the ellipses (:class:`Section`) at the heights ``z`` (n,) in mm."""
        reach = np.clip(np.abs(z - self.center[2]) / self.depth, 0, 1)
        centers = np.broadcast_to(self.center[:2], (len(z), 2))
        return _section(self.profile, centers, np.sqrt(1 - reach**2))


@dataclass(frozen=True)
class Vessel:
    """A finding that continues through the volume, winding obliquely to the slices.

    Attributes:
        profile: The section in every slice.
        center: x, y, z in mm of the section that resembles a lesion.
        slope: dx/dz and dy/dz there, mm of shift per mm of height.
        swing: The largest shift in mm that the winding reaches.
        length: mm above and below the center at which the vessel ends.
    """

    profile: Profile
    center: tuple[float, float, float]
    slope: tuple[float, float]
    swing: float
    length: float

    def section(self, z: np.ndarray) -> Section:
        """Return the ellipses (:class:`Section`) at the heights ``z`` (n,) in mm."""
        rise = z - self.center[2]
        dx, dy = self.slope
        steepness = np.hypot(dx, dy)
        # a sine whose slope at the center is the vessel's: it turns back after swing mm
        shift = np.sin(steepness * rise / self.swing) * self.swing / steepness
        centers = self.center[:2] + shift[:, None] * np.asarray(self.slope)
        return _section(self.profile, centers, np.abs(rise) < self.length)


def sample_extents(
    rng: np.random.Generator, count: int, size: int = 512, scale: float = 1.0
) -> np.ndarray:
    """Draw the RECIST extents of lesions, whose boxes are 2 × 5 px larger.

    At ``size`` 512 the box sides follow DeepLesion's percentiles. What does not fit a smaller image
    is shrunk to 0.3 of its side, shape kept.

    Args:
        rng: Source of chance.
        count: How many.
        size: Side of the image, px.
        scale: Factor on all extents.

    Returns:
        ndarray: (count, 2) width and height in px.
    """
    covariance = [[1, _SIDE_CORRELATION], [_SIDE_CORRELATION, 1]]
    normal = rng.multivariate_normal([0, 0], covariance, count, method='cholesky').clip(-3, 3)
    spread = np.where(normal < 0, _SPREAD_BELOW, _SPREAD_ABOVE)
    extents = scale * _MEDIAN_EXTENT * np.exp(normal * spread)
    # both sides shrink by one factor, so that the shape stays
    largest = extents.max(axis=1, keepdims=True)
    return extents * np.minimum(1, LARGEST_EXTENT * size / largest)


def draw_profile(rng: np.random.Generator, lesion_type: int, extent: np.ndarray) -> Profile:
    """Draw a section of a type whose diameters' ends span ``extent`` (width, height) in mm.

    Two diameters that cross at right angles and are tilted by t span ``d1 cos t`` and ``d2 cos t``
    as long as ``tan t`` does not exceed the ratio of the smaller to the larger.
    """
    look = LESION_LOOKS[lesion_type]
    # beyond arctan(short / long) the ends of one diameter would span both sides of the box
    tilt = min(_LARGEST_TILT, 0.95 * np.arctan(min(extent) / max(extent)))
    angle = rng.uniform(-tilt, tilt)
    lobes = Lobes(
        tuple(look.lobing * rng.uniform(-1, 1, 3) * (0.4, 0.4, 0.2)),
        tuple(rng.uniform(0, 2 * np.pi, 2)),
    )
    diameters = tuple(np.asarray(extent) / np.cos(angle))
    lowest, highest = look.hu
    return Profile(lesion_type, diameters, angle, lobes, rng.uniform(lowest, highest))


def draw_lesion(
    rng: np.random.Generator,
    profile: Profile,
    center: tuple[float, float, float],
    annotated: bool,
    number: int,
) -> Lesion:
    """Draw a lesion; 2 to 4 mm off its center it is clearly smaller or gone, however wide it is."""
    depth = np.clip(0.5 * np.mean(profile.diameters) * rng.uniform(0.8, 1.2), 2.3, 5.5)
    return Lesion(profile, center, depth, annotated, number)


def draw_vessel(
    rng: np.random.Generator, profile: Profile, center: tuple[float, float, float], spacing: float
) -> Vessel:
    """Draw a vessel that shifts by 3 to 5 px, or by a quarter of its width, per 2 mm of height."""
    shift = max(rng.uniform(3, 5) * spacing, 0.25 * min(profile.diameters))
    direction = rng.uniform(0, 2 * np.pi)
    slope = (shift / 2 * np.cos(direction), shift / 2 * np.sin(direction))
    swing = max(5 * shift, 0.8 * max(profile.diameters))
    return Vessel(profile, center, slope, swing, length=rng.uniform(20, 40))


def recist(profile: Profile, center: np.ndarray) -> np.ndarray:
    """Return the eight RECIST coordinates of a section: the long diameter, then the short one.

    Args:
        profile: The section, in any unit.
        center: x, y in the same unit.

    Returns:
        ndarray: x1, y1, ..., x4, y4.
    """
    cos, sin = np.cos(profile.angle), np.sin(profile.angle)
    # (2, 2): from the center to one end of each diameter, x, y
    half = np.multiply([[cos, sin], [-sin, cos]], np.reshape(profile.diameters, (2, 1))) / 2
    if profile.diameters[1] > profile.diameters[0]:
        half = half[::-1]
    return (np.asarray(center) + [half[0], -half[0], half[1], -half[1]]).reshape(8)


def _section(profile: Profile, centers: np.ndarray, shrink: np.ndarray) -> Section:
    radii = np.multiply.outer(shrink, profile.diameters) / 2
    return Section(centers, radii, np.full(len(centers), profile.angle))
