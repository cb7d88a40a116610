"""Images that bring the distance of their slices to the backbone."""

from __future__ import annotations

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

from mmlesion.utils import UserError


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
