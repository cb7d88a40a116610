from pathlib import Path

import cv2
import numpy as np

HU_OFFSET = 32768


def slice_file_name(number, last):
    """A slice's file name, by its number: three digits, or as many as the series' last number."""
    return f'{number:0{max(3, len(str(last)))}d}.png'


def write_slice(path, hu):
    """Write a slice as DeepLesion has it: a 16-bit PNG of HU + 32768.

    Args:
        path (str | Path): The file.
        hu (ndarray): (H, W) whole HU, -32768 to 32767.

    Raises:
        OSError: If it cannot be written.
    """
    stored = (hu.astype(np.int32) + HU_OFFSET).astype(np.uint16)
    # cv2.imwrite does not say why it fails
    _, png = cv2.imencode('.png', stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    Path(path).write_bytes(png)


def merge_ranges(ranges):
    """Join slice ranges that overlap.

    Args:
        ranges (Iterable[Sequence[int]]): First and last slice of each, inclusive.

    Returns:
        list[tuple[int, int]]: What is left, in ascending order.
    """
    merged = []
    for first, last in sorted(map(tuple, ranges)):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
