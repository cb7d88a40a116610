"""What benchmarks measure on: series of slices, and a volume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.io.ct import read_ct
from mmlesion.io.slices import write_slice
from mmlesion.utils import UserError


class KeySlice(NamedTuple):
    """A key slice of a series 001.png and on.

    Args:
        folder: Its series.
        number: Its number there.
        last: The number of the last slice; the first is 1.
    """

    folder: Path
    number: int
    last: int

    @property
    def path(self) -> str:
        """str: Its file."""
        return str(self.folder / f'{self.number:03d}.png')

    def sample(self, interval: float) -> dict:
        """Return what a dataset says of it; its slices are ``interval`` mm apart."""
        return dict(
            img_path=self.path,
            slice_index=self.number,
            slice_range=[1, self.last],
            slice_interval=interval,
        )


def write_series(folder: Path, count: int, num_slices: int, size: int, seed: int) -> None:
    """Draw series: an ellipse of tissue with noise in air.

    Args:
        folder: Where the folders of the series go.
        count: Series.
        num_slices: Of each.
        size: Side of a slice, px.
        seed: Of the noise.
    """
    drawn = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = (x / 0.9) ** 2 + (y / 0.7) ** 2 < 1
    for number in range(count):
        series = folder / f'{number + 1:06d}_01_01'
        series.mkdir()
        for index in range(num_slices):
            noise = drawn.normal(0, 15, body.shape)
            write_slice(series / f'{index + 1:03d}.png', np.where(body, 40 + noise, -1000 + noise))


def list_key_slices(folder: Path) -> list[KeySlice]:
    """List all slices of all series below a folder as key slices.

    Raises:
        UserError: If there is none, or a series is not numbered from 1 on without a gap.
    """
    keys: list[KeySlice] = []
    for series in sorted(path for path in folder.iterdir() if path.is_dir()):
        numbers = sorted(int(path.stem) for path in series.glob('*.png') if path.stem.isdigit())
        if numbers != list(range(1, len(numbers) + 1)):
            raise UserError(f'{series} is not 001.png and on, without a gap')
        keys += [KeySlice(series, number, numbers[-1]) for number in numbers]
    if not keys:
        raise UserError(f'{folder} has no folders of slices')
    return keys


def add_volume_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`read_or_draw_volume` takes, but for the seed."""
    parser.add_argument('--volume', help='a CT, repeated to --slices (default: noise)')
    parser.add_argument('--slices', type=int, default=32, help='(default 32)')
    parser.add_argument('--size', type=int, default=512, help='side of noise, px (default 512)')
    parser.add_argument('--interval', type=float, default=2.0, help='of noise, mm (default 2)')


def read_or_draw_volume(args: argparse.Namespace) -> sitk.Image:
    """Read the CT that is given, or draw noise, with as many slices as asked for.

    Args:
        args: Of :func:`add_volume_options`, and ``seed`` of the noise.

    Returns:
        sitk.Image: int16 HU.
    """
    if args.volume:
        image = read_ct(args.volume, None)
        array, spacing = sitk.GetArrayFromImage(image), image.GetSpacing()
    else:
        drawn = np.random.default_rng(args.seed)
        array = drawn.normal(0, 300, (args.slices, args.size, args.size)).clip(-1024, 2000)
        spacing = (0.8, 0.8, args.interval)
    # repeated from its first slice, or cut off, to the number asked for
    tiled = array[np.arange(args.slices) % len(array)].astype(np.int16)
    volume = sitk.GetImageFromArray(tiled)
    volume.SetSpacing(spacing)
    return volume
