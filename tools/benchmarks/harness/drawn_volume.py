"""Volume to measure inference on."""

from __future__ import annotations

import argparse

import numpy as np
import SimpleITK as sitk

from mmlesion.io.ct import read_ct


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
