"""Data preprocessors of slices with neighbors and of volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.models.utils import samplelist_boxtype2tensor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor, stack_batch
from torch import Tensor

from mmlesion.utils import OptionError, UserError

from ..backbones.dense_unet_3d import STRIDES


@MODELS.register_module()
class SliceContextDataPreprocessor(DetDataPreprocessor):
    """mmdet's data preprocessor, and the distance of an image's slices as a further channel.

    A backbone in mmdet takes nothing but the images; so the distance, which
    :class:`~mmlesion.models.AlignShiftConv` needs, comes to
    :class:`~mmlesion.models.SliceContextBackbone` as a constant last channel, in mm, not
    normalized. It is ``slice_distance`` of the samples, which ``LoadCTSlices`` adds; name it among
    the ``meta_keys`` of ``PackDetInputs``. Arguments are those of
    :class:`mmdet.models.DetDataPreprocessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalize, pad and batch the images.

        Args:
            data: ``inputs``, images (num_slices, H, W), and ``data_samples``.
            training: Whether the batch is for training. Defaults to False.

        Returns:
            dict: ``inputs`` (N, num_slices + 1, H, W) and ``data_samples``.

        Raises:
            UserError: If a sample has no ``slice_distance``.
        """
        data = super().forward(data, training)
        inputs = data['inputs']
        distances = [_distance(sample) for sample in data['data_samples'] or [None]]
        # a channel of one number each: detectors hand nothing but the images to a backbone
        channel = inputs.new_tensor(distances)[:, None, None, None]
        channel = channel.expand(len(inputs), 1, *inputs.shape[2:])
        data['inputs'] = torch.cat([inputs, channel], 1)
        return data


def _distance(sample: DetDataSample | None) -> float:
    distance = None if sample is None else sample.metainfo.get('slice_distance')
    if distance is None:
        raise UserError(
            f'the sample {None if sample is None else sample.metainfo.get("img_path")} has no '
            'slice_distance: name it among the meta_keys of PackDetInputs, after LoadCTSlices'
        )
    return float(distance)


@MODELS.register_module()
class VolumeDataPreprocessor(BaseDataPreprocessor):
    """Stack HU volumes and window them on the device.

    They stay 16-bit until then. Boxes become plain tensors, as mmdet's heads expect. Volumes of
    unequal size are padded at their ends.

    Args:
        hu_window: Lower and upper bound, HU. Defaults to (-1200, 600).
        value_range: Values to which the bounds are mapped. Defaults to (-1, 1).
        pad_size_divisor: Sides are padded to multiples of it. Defaults to 16, as required by
            ``DenseUNet3D``.
        pad_hu: HU of the padding. Defaults to 0, tissue, as the paper's reference [9] pads;
            ``RandomLesionCrop`` pads crops with the same.
        non_blocking: Whether the transfer to the device is asynchronous. Defaults to False.

    Raises:
        OptionError: If the window has no width.
    """

    def __init__(
        self,
        hu_window: Sequence[float] = (-1200, 600),
        value_range: Sequence[float] = (-1.0, 1.0),
        pad_size_divisor: int = STRIDES[-1],
        pad_hu: float = 0,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        low, high = hu_window
        if not low < high:
            raise OptionError(
                f'hu_window must be (low, high) with low < high, not {hu_window}', self
            )
        self.hu_window = low, high
        self.value_range = tuple(value_range)
        self.pad_size_divisor = pad_size_divisor
        self.pad_hu = pad_hu

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: ``inputs``, volumes (1, D, H, W) in HU, and ``data_samples``, if there are
                any.
            training: Not used.

        Returns:
            dict: ``inputs`` (N, 1, D, H, W), windowed, and ``data_samples`` with ``pad_shape``, the
            volume's own size, and ``batch_input_shape`` in their meta information.
        """
        data = self.cast_data(data)
        volumes, samples = data['inputs'], data.get('data_samples')
        # padded before windowing, as the padding is in HU
        inputs = stack_batch(volumes, self.pad_size_divisor, self.pad_hu)
        if samples is not None:
            for volume, sample in zip(volumes, samples):
                shapes = dict(
                    pad_shape=tuple(volume.shape[1:]), batch_input_shape=tuple(inputs.shape[2:])
                )
                sample.set_metainfo(shapes)
            samplelist_boxtype2tensor(samples)
        return dict(inputs=self.window(inputs), data_samples=samples)

    def window(self, volumes: Tensor) -> Tensor:
        """Map the window linearly to ``value_range``, with clipping.

        Args:
            volumes: HU, of any shape and type.

        Returns:
            Tensor: Of the same shape, float32.
        """
        (low, high), (bottom, top) = self.hu_window, self.value_range
        # a copy, which the steps below change in place
        values = volumes.float().clamp(low, high)
        return values.sub_(low).mul_((top - bottom) / (high - low)).add_(bottom)
