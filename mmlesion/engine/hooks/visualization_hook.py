"""Images of predictions during validation and testing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from mmengine.runner import Runner
from mmengine.structures import PixelData

from mmlesion.io.checks import plain_name
from mmlesion.io.slices import read_slice
from mmlesion.structures import to_original_frame
from mmlesion.utils import UserError
from mmlesion.visualization.sphere_slices import sphere_slices


class _Picture(NamedTuple):
    """A slice to draw: its (H, W) stored values or HU, and its sample in its frame."""

    file_name: str
    image: np.ndarray
    data_sample: DetDataSample


@HOOKS.register_module()
class LesionVisualizationHook(DetVisualizationHook):
    """Draw predictions over slices, for ``--show`` and ``--show-dir`` of ``tools/test.py``.

    The options are mmdet's ``DetVisualizationHook``'s. The slice is read with its 16 bits, which
    :class:`~mmlesion.visualization.LesionLocalVisualizer` windows, and predictions of a pipeline
    that clips the border are moved back. Pictures are named ``<series>_<slice>.png``. Of a volume
    the slices through the centers of its lesions and best detections are drawn.

    Raises:
        UserError: If it is to draw scored 3D proposals: each of them is a sample.
    """

    def before_run(self, runner: Runner) -> None:
        """Take the runner's visualizer, not the one that was made last in this process."""
        self._visualizer = runner.visualizer

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw the first slice of a batch at every ``interval`` iterations.

        Args:
            runner: The runner of the validation.
            batch_idx: The batch's index in the validation loop.
            data_batch: Data from the dataloader.
            outputs: Annotations and predictions.
        """
        # not runner.iter alone, which stands still during validation
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            for picture in islice(self._pictures(outputs[0]), 1):
                self._draw(picture, 'val_img', step)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw every sample.

        Args:
            runner: The runner of the test.
            batch_idx: The batch's index in the test loop.
            data_batch: Data from the dataloader.
            outputs: Annotations and predictions.
        """
        if not self.draw:
            return
        for data_sample in outputs:
            for picture in self._pictures(data_sample):
                self._test_index += 1
                out_file = None
                if self.test_out_dir is not None:
                    folder = Path(runner.work_dir, runner.timestamp, self.test_out_dir)
                    out_file = str(folder / picture.file_name)
                self._draw(picture, 'test_img', self._test_index, out_file)

    def _pictures(self, data_sample: DetDataSample) -> Iterator[_Picture]:
        """Yield the name of each slice to draw, its HU and its sample in its frame."""
        if 'proposal_box' in data_sample:
            raise UserError(
                'scored 3D proposals are not drawn: leave out --show and --show-dir, or give them '
                "with the detector's config"
            )
        if 'volume_path' in data_sample:
            volume = np.load(data_sample.volume_path, mmap_mode='r', allow_pickle=False)
            series = plain_name(data_sample.series_uid, f'the volume {data_sample.volume_path}')
            for cut in sphere_slices(volume, data_sample, self.score_thr):
                name = f'{series}_{cut.number:03d}.png'
                yield _Picture(name, cut.hu, cut.sample)
        else:
            fetch = partial(get, backend_args=self.backend_args)
            image = read_slice(data_sample.img_path, fetch)
            shown = in_original_frame(data_sample, image.shape)
            yield _Picture(slice_name(data_sample.img_path), image, shown)

    def _draw(self, picture: _Picture, name: str, step: int, out_file: str | None = None) -> None:
        self._visualizer.add_datasample(
            picture.file_name if self.show else name,
            picture.image,
            data_sample=picture.data_sample,
            show=self.show,
            wait_time=self.wait_time,
            pred_score_thr=self.score_thr,
            out_file=out_file,
            step=step,
        )


def slice_name(img_path: str) -> str:
    """Return an image name unique across series, whose slices have the same file names."""
    path = Path(img_path)
    return f'{path.parent.name}_{path.stem}.png'


def in_original_frame(data_sample: DetDataSample, shape: tuple[int, int]) -> DetDataSample:
    """Move a sample's predictions from the clipped to the original image.

    Args:
        data_sample: With ``border_offset`` where a border was clipped.
        shape: (H, W) of the original image.

    Returns:
        DetDataSample: A copy, or the same where nothing was clipped.
    """
    if 'border_offset' not in data_sample.metainfo:
        return data_sample
    moved_sample = data_sample.clone()
    if 'pred_instances' in data_sample:
        predictions = moved_sample.pred_instances = data_sample.pred_instances.clone()
        predictions.bboxes = to_original_frame(predictions.bboxes, data_sample.metainfo)
        if 'masks' in predictions:
            predictions.masks = _uncropped(predictions.masks, data_sample.border_offset, shape)
    if 'pred_sem_seg' in data_sample:
        whole = {
            name: _uncropped(maps, data_sample.border_offset, shape)
            for name, maps in data_sample.pred_sem_seg.items()
        }
        moved_sample.pred_sem_seg = PixelData(**whole)
    return moved_sample


def _uncropped(maps: torch.Tensor, offset: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
    """Pad maps (n, h, w) with zeros to (n, H, W), with ``offset`` (x, y) in px."""
    x, y = offset
    whole = maps.new_zeros((len(maps),) + tuple(shape))
    # px (0, 0) of the clipped image is px (x, y) of the original
    whole[:, y : y + maps.shape[1], x : x + maps.shape[2]] = maps
    return whole
