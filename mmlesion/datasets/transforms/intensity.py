"""Intensity transforms of HU images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from mmlesion.utils import OptionError


@TRANSFORMS.register_module()
class WindowHU(BaseTransform):
    """Map HU windows linearly to an output range, with clipping.

    Several windows multiply the channels: all slices in the first window, then all in the second.

    Required Keys:

    - img (np.float32): (H, W, C) HU

    Modified Keys:

    - img (np.float32): (H, W, C * len(windows)) in ``output_range``

    Args:
        windows: (low, high) HU. Defaults to ((-1024, 3071), ), which
            covers lung, soft tissue and bone (LENS, section VI-A).
        output_range: Defaults to (0., 255.).
    """

    def __init__(
        self,
        windows: Sequence[tuple[float, float]] = ((-1024, 3071),),
        output_range: tuple[float, float] = (0.0, 255.0),
    ) -> None:
        for low, high in list(windows) + [output_range]:
            if not low < high:
                raise OptionError(
                    f'windows: a window is (low, high), but got ({low}, {high})', self
                )
        self.windows = tuple(tuple(window) for window in windows)
        self.output_range = tuple(output_range)

    def transform(self, results: dict) -> dict:
        """Window the image.

        Args:
            results: A sample with ``img`` in HU.

        Returns:
            dict: The sample with ``img`` windowed.
        """
        img = results['img'].astype(np.float32, copy=False)
        height, width = img.shape[:2]
        img = img.reshape(height, width, -1)
        windowed = [self._window(img, low, high) for low, high in self.windows]
        results['img'] = windowed[0] if len(windowed) == 1 else np.concatenate(windowed, axis=-1)
        return results

    def _window(self, img: np.ndarray, low: float, high: float) -> np.ndarray:
        bottom, top = self.output_range
        scale = (top - bottom) / (high - low)
        # low HU becomes the bottom and high HU the top; one copy of the image is made
        out = img * np.float32(scale)
        out += np.float32(bottom - low * scale)
        return np.clip(out, bottom, top, out=out)

    def to_hu(self, img: np.ndarray) -> np.ndarray:
        """Undo the first window, for display.

        Args:
            img: (H, W, C * len(windows)) windowed.

        Returns:
            ndarray: (H, W, C) HU, within the first window.
        """
        low, high = self.windows[0]
        bottom, top = self.output_range
        # the channels of the first window come before those of the others
        first = img[..., : img.shape[-1] // len(self.windows)]
        return (first - bottom) * ((high - low) / (top - bottom)) + low

    def __repr__(self) -> str:
        return f'{type(self).__name__}(windows={self.windows}, output_range={self.output_range})'
