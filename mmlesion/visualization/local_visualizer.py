"""mmdet's visualizer for CT slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData, PixelData

from mmlesion.io.schema import ABDOMEN_WINDOW, HU_OFFSET, display_window
from mmlesion.utils import OptionError

from ..structures import Recist, cut_segments, measure_recist
from .overlays import RECIST_COLOR

# Of matplotlib's font at 100 dots per inch, px per point of its size.
_CHARACTER_WIDTH = 0.8


def slice_to_rgb(
    image: np.ndarray, window: np.ndarray | tuple[float, float] = ABDOMEN_WINDOW
) -> np.ndarray:
    """Convert the middle slice of an image to an 8-bit RGB image.

    Args:
        image: (H, W) or (H, W, C). uint8 is shown unchanged, uint16 is HU + 32768; other
            types are HU, except that floats in the range 0 to 255 are assumed to be windowed
            already (HU values of a slice with air exceed this range).
        window: (low, high) HU. Defaults to that of the abdomen, -175 to 275.

    Returns:
        ndarray: (H, W, 3) uint8.
    """
    height, width = image.shape[:2]
    image = image.reshape(height, width, -1)
    middle = image[..., image.shape[-1] // 2]
    if not _is_windowed(image):
        offset = HU_OFFSET if image.dtype == np.uint16 else 0.0
        low, high = window
        middle = (middle.astype(np.float32) - offset - low) * (255 / (high - low))
    gray = np.rint(middle).clip(0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)


def _is_windowed(image: np.ndarray) -> bool:
    if image.dtype == np.uint8:
        return True
    return image.dtype.kind == 'f' and image.min() >= 0 and image.max() <= 255


@VISUALIZERS.register_module()
class LesionLocalVisualizer(DetLocalVisualizer):
    """mmdet's visualizer for CT: the middle slice of any number of channels, in a HU window.

    If the model predicts masks, their probability is drawn as a heat map, and the long and short
    diameter of a detection with its own segment are shown, in mm if the sample has ``spacing``.

    Labels are drawn above their boxes, so that they do not cover small lesions.

    Args:
        name: Name of the instance. Defaults to 'visualizer'.
        window: (low, high) HU. Defaults to None: the first of the
            sample's own ``windows``, where it has them in its meta information, or that of
            the abdomen.
        line_width: Defaults to 1.
        **kwargs: mmdet's ``DetLocalVisualizer``'s options.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *,
        window: tuple[float, float] | None = None,
        line_width: float = 1,
        **kwargs: Any,
    ) -> None:
        if window is not None and not window[0] < window[1]:
            raise OptionError(f'window: a window is (low, high) HU, but got {window}', self)
        super().__init__(name, line_width=line_width, **kwargs)
        self.window = window

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Draw a sample and save or show it, like mmdet's visualizer.

        Args:
            name: The picture's name.
            image: What :func:`slice_to_rgb` takes.
            data_sample: Annotations and predictions, boxes in px.
            *args: As mmdet's ``DetLocalVisualizer.add_datasample``.
            **kwargs: As mmdet's ``DetLocalVisualizer.add_datasample``.
        """
        picture = slice_to_rgb(image, self._window(data_sample))
        if data_sample is not None and 'segment_ids' in data_sample.get('pred_instances', ()):
            data_sample = _with_diameters(data_sample, self.dataset_meta.get('classes'))
        super().add_datasample(name, picture, data_sample, *args, **kwargs)

    def _window(self, data_sample: DetDataSample | None) -> np.ndarray | tuple[float, float]:
        if self.window is not None:
            return self.window
        return display_window({} if data_sample is None else data_sample.metainfo)

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: Sequence[str] | None,
        palette: Sequence[tuple] | None,
    ) -> np.ndarray:
        """Draw boxes and labels like mmdet, over their heat map, and diameters on top.

        Args:
            image: (H, W, 3) uint8 RGB.
            instances: Instances, maybe with ``recist`` (m, 4, 2) px, NaN where
                none, and in the meta information with ``heat_map``.
            classes: Names of the classes.
            palette: Colors of the classes.

        Returns:
            ndarray: (H, W, 3) uint8 RGB.
        """
        if 'heat_map' in instances:
            image = self._draw_sem_seg(image, instances.heat_map, classes, palette)
        super()._draw_instances(image, instances, classes, palette)
        if 'recist' in instances:
            # in pictures, as in boxes, px n extends from n to n + 1
            ends = instances.recist[~instances.recist.isnan().any(-1).any(-1)] + 0.5
            if len(ends):
                x, y = ends.reshape(-1, 2, 2).unbind(-1)
                self.draw_lines(x, y, colors=RECIST_COLOR[::-1], line_widths=self.line_width)
        return self.get_image()

    def _draw_sem_seg(
        self,
        image: np.ndarray,
        sem_seg: PixelData,
        classes: Sequence[str] | None,
        palette: Sequence[tuple] | None,
    ) -> np.ndarray:
        """Overlay a map of lesion probabilities or labels on an image as a heat map.

        mmdet's own draws each value of the map as a label, which a probability is not.

        Args:
            image: (H, W, 3) uint8 RGB.
            sem_seg: ``sem_seg`` (1, H, W), probability in 0 to 1 or integer labels, 1
                for lesion and 255 for unknown.
            classes: Not used.
            palette: Not used.

        Returns:
            ndarray: (H, W, 3) uint8 RGB, opaque by half where the lesion is certain.
        """
        lesion = np.asarray(sem_seg.sem_seg.cpu())[0]
        lesion = lesion if lesion.dtype.kind == 'f' else (lesion == 1).astype(np.float32)
        heat = cv2.applyColorMap(np.rint(lesion * 255).astype(np.uint8), cv2.COLORMAP_JET)
        opacity = 0.5 * lesion[..., None]
        # OpenCV's maps are BGR
        blended = image * (1 - opacity) + heat[..., ::-1] * opacity
        self.set_image(np.rint(blended).astype(np.uint8))
        return self.get_image()

    def draw_texts(
        self,
        texts: str | list[str],
        positions: np.ndarray | torch.Tensor,
        font_sizes: int | list[int] | None = None,
        vertical_alignments: str | list[str] = 'bottom',
        **kwargs: Any,
    ) -> LesionLocalVisualizer:
        """Draw texts, by default bottom-aligned to their position.

        Args:
            texts: The texts.
            positions: (2, ) or (n, 2) px.
            font_sizes: As mmengine's ``Visualizer.draw_texts``.
            vertical_alignments: Defaults to 'bottom'.
            **kwargs: As mmengine's ``Visualizer.draw_texts``.
        """
        lifted = positions - 2.5 * self.line_width
        # A text beyond the picture's edge would be cut off.
        lifted[..., 1] = lifted[..., 1].clip(min=12)
        if isinstance(texts, str) and isinstance(font_sizes, int):
            room = self.width - _CHARACTER_WIDTH * font_sizes * len(texts)
            lifted[..., 0] = lifted[..., 0].clip(max=max(room, 0))
        return super().draw_texts(
            texts, lifted, font_sizes=font_sizes, vertical_alignments=vertical_alignments, **kwargs
        )


def _with_diameters(data_sample: DetDataSample, classes: Sequence[str] | None) -> DetDataSample:
    """Return a copy whose predictions have the ``recist`` of their segments, and diameters as text.

    The map becomes a heat map of the predictions, since mmdet would draw it on top of them.
    """
    found = data_sample.pred_instances
    spacing = data_sample.metainfo.get('spacing')
    segment_ids = found.segment_ids.tolist()
    segments = cut_segments(data_sample.pred_sem_seg.segments[0].cpu().numpy(), segment_ids)
    measured = {}
    for number, segment in segments.items():
        measured[number] = measure_recist(segment.mask, spacing or (1, 1), segment.corner)
    recist = np.full((len(found), 4, 2), np.nan)
    names = [classes[label] if classes else f'class {label}' for label in found.labels]
    for index, number in enumerate(segment_ids):
        if number:
            recist[index] = measured[number].points
            names[index] += f' {_diameters(measured[number], spacing)}'
    shown = data_sample.new()
    del shown.pred_sem_seg
    shown.pred_instances = found.new(metainfo=dict(heat_map=data_sample.pred_sem_seg))
    shown.pred_instances.recist = torch.from_numpy(recist)
    shown.pred_instances.label_names = names
    return shown


def _diameters(recist: Recist, spacing: Sequence[float] | None) -> str:
    long, short = recist.diameters_mm
    return f'{long:.1f} x {short:.1f} {"mm" if spacing else "px"}'
