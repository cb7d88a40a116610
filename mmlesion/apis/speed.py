"""Options by which a detector computes faster, and not quite the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from mmcv.cnn import fuse_conv_bn
from mmdet.models.detectors import BaseDetector
from torch import nn

from ..utils.networks import autocast_forward, store_channels_last

HALF = dict(cpu=torch.bfloat16, cuda=torch.float16)
"""The half precision of a kind of device: ranges and speed differ."""
PARTS = ('backbone', 'neck')


@dataclass(frozen=True)
class Speed:
    """What is done to a detector for speed (docs/speed.md says what each brings).

    Attributes:
        amp: Whether backbone and neck compute in half precision, float16 on a GPU and
            bfloat16 on a processor; heads stay in single precision, as half of it does not hold the
            coordinates of a box to a px. Scores change in the second or third digit.
        channels_last: Whether weights of the convolutions of backbone and neck, 2D and 3D,
            and with them feature maps, have the channels last in memory. Heads get maps with
            channels first: mmcv's RoIAlign silently reads others as if they were so. Scores
            change by rounding alone.
        fuse_conv_bn: Whether batch normalization becomes part of the convolution before it
            (mmcv's ``fuse_conv_bn``), for backbones that register the two in the order in which
            they compute, as mmdet's do. Scores change by rounding alone.
        merge_fusion: Whether a :class:`~mmlesion.models.SliceGroupFusion` becomes part of
            the pyramid behind it. Scores change by rounding alone. Defaults to True, unlike the
            others: it is faster wherever there is one.
    """

    amp: bool = False
    channels_last: bool = False
    fuse_conv_bn: bool = False
    merge_fusion: bool = True

    def prepare(self, model: BaseDetector) -> None:
        """Change a detector for good, in place.

        Args:
            model: In evaluation mode, on its device.
        """
        # before channels_last, as fusing makes new weights
        if self.merge_fusion:
            _merge_fusion(model)
        if self.fuse_conv_bn:
            model.backbone = fuse_conv_bn(model.backbone)
        if self.channels_last:
            for name in PARTS:
                if hasattr(model, name):
                    store_channels_last(getattr(model, name))

    @contextmanager
    def applied(self, model: BaseDetector) -> Iterator[None]:
        """Compute features with ``amp`` and ``channels_last`` within a block.

        Args:
            model: Any of mmdet.
        """
        if not (self.amp or self.channels_last):
            yield
            return
        kind = next(model.parameters()).device.type
        half = HALF.get(kind, torch.bfloat16) if self.amp else None
        parts = [getattr(model, name) for name in PARTS if hasattr(model, name)]
        # the neck takes feature maps as the backbone makes them
        handles = [
            handle
            for part in parts
            for handle in autocast_forward(part, half, restore=part is parts[-1])
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _merge_fusion(model: BaseDetector) -> None:
    """Leave the pyramid alone as the neck of a detector, if a part before it merges into it."""
    neck = getattr(model, 'neck', None)
    if isinstance(neck, nn.Sequential) and len(neck) == 2:
        merge_into = getattr(neck[0], 'merge_into', None)
        if merge_into is not None and merge_into(neck[1]):
            model.neck = neck[1]
