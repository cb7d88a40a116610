"""Shift of channels by the distance of slices (AlignShift)."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mmlesion.utils import OptionError, UserError

from .tsm_conv import TSMConv

# In mmengine's registry, in which mmcv's `build_conv_layer` looks whatever the scope.


@MODELS.register_module()
class AlignShiftConv(TSMConv):
    """Temporal shift by virtual slices (AlignShift, MICCAI 2020, section 2.2) before a convolution.

    The shifted channels come not from the neighbor, at t mm, but from a virtual slice at
    ``ref_thickness`` r on the way to it: r / t * neighbor + (1 - r / t) * own. Slices at r or less
    shift by whole neighbors, as TSM does; with growing distance the convolution becomes 2D.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        ref_thickness: r in mm. Defaults to 2.0, as in the authors' program.
        n_fold: As of :class:`TSMConv`. Defaults to 8.
        zero_padding: As of :class:`TSMConv`. Defaults to False, as in the program.
        **kwargs: Those of ``Conv2d``.

    Attributes:
        slice_distance: t in mm of each sample, (n, ). To be set before a forward
            pass; :class:`~mmlesion.models.SliceContextBackbone` does.

    Raises:
        OptionError: If ``ref_thickness`` is not positive.
    """

    def __init__(
        self,
        *args: Any,
        num_slices: int,
        ref_thickness: float = 2.0,
        n_fold: int = 8,
        zero_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        if ref_thickness <= 0:
            raise OptionError(f'ref_thickness must be positive, but got {ref_thickness}', self)
        super().__init__(
            *args, num_slices=num_slices, n_fold=n_fold, zero_padding=zero_padding, **kwargs
        )
        self.ref_thickness = ref_thickness
        self.slice_distance: Tensor | None = None

    def _blend(self, own: Tensor, neighbor: Tensor) -> Tensor:
        if self.slice_distance is None:
            raise UserError(
                'AlignShiftConv needs the distance of the slices in mm: set '
                "data_preprocessor=dict(type='SliceContextDataPreprocessor', ...), and "
                "'slice_distance' among the meta_keys of PackDetInputs"
            )
        # mm may be more than half precision holds, a share of the neighbor is not
        share = (self.ref_thickness / self.slice_distance.float()).clamp(max=1.0)
        return torch.lerp(own, neighbor, share.to(own)[:, None, None, None, None])
