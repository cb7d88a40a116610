"""3D ResNets initialized from 2D weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.backbones import ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from mmdet.utils import OptMultiConfig
from torch import nn

from mmlesion.utils import OptionError


@MODELS.register_module()
class InflatedResNet3D(ResNet):
    """A 3D ResNet initialized by inflating 2D weights (LENS, section 3D FPR).

    "We convert the 3x3 Conv filters of a ResNet-18 to 1x3x3 in ResBlocks 1-3 and to 3x3x3 in
    ResBlock 4." The stem stays in the slice, as ResBlocks 1-3 do. Slices are never subsampled: the
    paper does not specify it, and a patch has few. The names of the weights are torchvision's, so
    that ``init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')``, or such a file
    from disk, loads and is inflated (:class:`~mmlesion.models.InflatedConv3d`).

    It maps volumes (N, in_channels, D, H, W) to the features of ResBlocks 1 to 4, a tuple of (N,
    C_i, D, H / s, W / s) with s = 4, 8, 16, 32.

    Args:
        depth: 18 or 34, or 50 and more of bottlenecks. Defaults to 18.
        in_channels: Channels of the volumes. Defaults to 1.
        base_channels: Channels of ResBlock 1 and of the stem. Defaults to 64.
        kernel_depths: Slices that the filters of each ResBlock span. Defaults to
            (1, 1, 1, 3).
        norm_eval: Whether batch normalization uses its running statistics in training.
            Defaults to False.
        init_cfg: Initialization config. Defaults to None, Kaiming
            initialization.

    Raises:
        OptionError: If ``kernel_depths`` are not four odd numbers.
    """

    def __init__(
        self,
        depth: int = 18,
        in_channels: int = 1,
        base_channels: int = 64,
        kernel_depths: Sequence[int] = (1, 1, 1, 3),
        norm_eval: bool = False,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        if len(kernel_depths) != 4:
            raise OptionError(f'kernel_depths={kernel_depths}: give one for each ResBlock', self)
        self.kernel_depths = list(kernel_depths)
        super().__init__(
            depth,
            in_channels=in_channels,
            base_channels=base_channels,
            conv_cfg=dict(type='InflatedConv3d'),
            norm_cfg=dict(type='BN3d', requires_grad=True),
            norm_eval=norm_eval,
            init_cfg=init_cfg
            or [
                dict(type='Kaiming', layer='Conv3d'),
                dict(type='Constant', val=1, layer='_BatchNorm'),
            ],
        )

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        # in the plane alone, as the stem's filters are
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def make_res_layer(self, conv_cfg: dict, **kwargs: Any) -> ResLayer:
        """Build the blocks of a stage, with filters of its depth.

        Args:
            conv_cfg: Config of the convolutions.
            **kwargs: As of mmdet's ResNet.

        Returns:
            ResLayer: The stage.
        """
        # ResNet appends a stage to res_layers once it is made: their number is this stage's
        depth = self.kernel_depths[len(self.res_layers)]
        return super().make_res_layer(conv_cfg=dict(conv_cfg, depth=depth), **kwargs)
