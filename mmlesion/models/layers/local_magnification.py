"""Local Magnification of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor

from mmlesion.utils import OptionError

from .dense_block_3d import DenseBlock3D, pre_act_conv3d

SCALE = 4  # two transposed convolutions
MARGIN = 2  # voxels of a result that two 3x3x3 convolutions take from either side


@MODELS.register_module()
class LocalMagnification(BaseModule):
    """Magnify crops of features four times (3D Aggregated Faster R-CNN, section III-D).

    Two rounds of Table I: a 2x2x2 transposed convolution and two bottlenecks. The margins of the
    crop are for the convolutions: of the magnified crop the middle is returned, and what it does
    not depend on is not computed in the second round.

    A round keeps the features added by the bottlenecks, 2 x 16 = 32 channels, as Table I's
    classifier uses 32 from each level.

    Args:
        channels: Channels of crops and results. Defaults to 32.
        crop_size: Side of the crops, voxels of the feature map. Defaults to 3.
        output_size: Side of the results, magnified voxels; odd. Defaults to 5.
        norm_cfg: Normalization. Defaults to None, ``dict(type='BN3d')``.
        init_cfg: Initialization config. Defaults to None, Kaiming
            initialization, as in ``DenseUNet3D``.

    Raises:
        OptionError: If the output is even or has no margins in the crop, or channels are odd.
    """

    def __init__(
        self,
        channels: int = 32,
        crop_size: int = 3,
        output_size: int = 5,
        norm_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(
            init_cfg or dict(type='Kaiming', layer=['Conv3d', 'ConvTranspose3d'], mode='fan_in')
        )
        self.crop_size, self.output_size = crop_size, output_size
        # Of the magnified crop, which has an even number of voxels, the first voxel of the result,
        # which has an odd one: its middle is the last voxel before the crop's center.
        self.start = SCALE * crop_size // 2 - 1 - output_size // 2
        if output_size % 2 == 0 or self.start < MARGIN or channels % 2:
            raise OptionError(
                f'crop_size={crop_size} voxels are magnified to an odd output_size of at most '
                f'{SCALE * crop_size - 2 * MARGIN - 1} and an even number of channels, but '
                f'output_size={output_size} and channels={channels}',
                self,
            )
        growth, norm = channels // 2, norm_cfg
        self.upsample1 = pre_act_conv3d(channels, channels, 2, norm, transposed=True)
        self.refine1 = DenseBlock3D(channels, growth, keep_input=False, norm_cfg=norm)
        self.upsample2 = pre_act_conv3d(channels, channels, 2, norm, transposed=True)
        self.refine2 = DenseBlock3D(channels, growth, keep_input=False, norm_cfg=norm)

    @property
    def center_offset(self) -> float:
        """float: Offset of an output's center from the center of its crop, in voxels of the crop.

        A crop magnified has an even number of voxels and the result an odd one.
        """
        return -0.5 / SCALE

    def forward(self, x: Tensor) -> Tensor:
        """Magnify crops.

        Args:
            x: Crops (N, channels) + (crop_size,) * 3.

        Returns:
            Tensor: (N, channels) + (output_size,) * 3, four voxels for one of the crop's.
        """
        x = self.upsample2(self.refine1(self.upsample1(x)))
        # the result and the margins that the last two convolutions need
        x = self.refine2(_cut(x, self.start - MARGIN, self.output_size + 2 * MARGIN))
        return _cut(x, MARGIN, self.output_size)


def _cut(x: Tensor, start: int, size: int) -> Tensor:
    """Return a cube of a batch, the same voxels along z, y and x."""
    along = slice(start, start + size)
    return x[..., along, along, along]
