"""The truncated DenseNet-121 of LENS."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

import torch
from mmdet.registry import MODELS
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlesion.utils import OptionError

STEM = ('conv0', 'norm0', 'relu0', 'pool0')
# torchvision's own files of weights are older than its names: denselayer1.norm.1 is now norm1
_OLD_NAME = re.compile(r'(denselayer\d+\.(?:norm|conv))\.([12]\.)')


class _DenseLayer(nn.Sequential):
    """Bottleneck of 1x1 and 3x3 convolutions; its output is concatenated to its input."""

    def __init__(self, in_channels: int, growth_rate: int, bottleneck_ratio: int) -> None:
        width = bottleneck_ratio * growth_rate
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(inplace=True),
                conv1=nn.Conv2d(in_channels, width, 1, bias=False),
                norm2=nn.BatchNorm2d(width),
                relu2=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(width, growth_rate, 3, padding=1, bias=False),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], 1)


def _dense_block(
    in_channels: int, num_layers: int, growth_rate: int, bottleneck_ratio: int
) -> nn.Sequential:
    block = nn.Sequential()
    for i in range(num_layers):
        layer = _DenseLayer(in_channels + i * growth_rate, growth_rate, bottleneck_ratio)
        block.add_module(f'denselayer{i + 1}', layer)
    return block


def _transition(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(in_channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


class _GroupFusion(nn.Conv2d):
    """1x1 convolution of all groups' features, which replaces those of the central group.

    It begins as the identity of the central group, so that the layers behind it see the features
    that they were pretrained on.
    """

    bias: nn.Parameter

    def __init__(self, channels: int, num_groups: int) -> None:
        self.num_groups = num_groups
        super().__init__(num_groups * channels, channels, 1)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        # the identity of the central group: a new fusion changes nothing
        nn.init.eye_(self.weight.data.flatten(1).chunk(self.num_groups, 1)[self.num_groups // 2])

    def forward(self, x: Tensor) -> Tensor:
        groups = x.unflatten(0, (-1, self.num_groups))
        return replace_middle(groups, self.fuse(groups)).flatten(0, 1)

    def fuse(self, groups: Tensor) -> Tensor:
        """Fuse groups (N, num_groups, channels, h, w) to (N, channels, h, w)."""
        return super().forward(groups.flatten(1, 2))


def replace_middle(groups: Tensor, features: Tensor) -> Tensor:
    """Replace the central one of groups (N, num_groups, ...) by features (N, ...)."""
    middle = groups.shape[1] // 2
    return torch.cat([groups[:, :middle], features[:, None], groups[:, middle + 1 :]], 1)


@MODELS.register_module()
class TruncatedDenseNet(BaseModule):
    """DenseNet-121 without its last transition and dense block, in 2D or 2.5D.

    The backbone of LENS (section Backbone) and of MULAN, on which it builds. In 2.5D it is the
    ``backbone`` of a :class:`~mmlesion.models.GroupedSliceBackbone` with as many groups, and 1x1
    convolutions fuse the groups on the way: at a stage of ``fusion_indices`` the central group's
    features become those of all groups fused, and the other groups pass unchanged. The papers name
    no stages; the default is that of MULAN's published config, after the second transition alone.
    The last fusion, which leaves one feature map, is that of
    :class:`~mmlesion.models.SliceFusionFPN`.

    Its outputs are those of the three dense blocks, 256, 512 and 1024 channels at strides 4, 8 and
    16. The names of the weights are torchvision's, so that ``init_cfg=dict(type='Pretrained',
    checkpoint='torchvision://densenet121')``, or such a file from disk, loads; the truncated part
    is ignored, as reported in mmengine's log.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        block_layers: Layers of each dense block. Defaults to (6, 12, 24).
        growth_rate: Channels that a layer adds. Defaults to 32.
        stem_channels: Channels of the first convolution. Defaults to 64.
        bottleneck_ratio: Channels of a bottleneck over the growth rate. Defaults to 4.
        num_groups: Number of slice groups, consecutive in the batch. Defaults to 1.
        fusion_indices: Positions at which groups are fused: 0 is after the first
            pooling, i after transition i. Defaults to (2,).
        norm_eval: Whether batch normalization uses its running statistics in training.
            Defaults to False.
        init_cfg: Initialization config. Defaults to Kaiming
            initialization.

    Raises:
        OptionError: If there is no such stage to fuse.
    """

    def __init__(
        self,
        in_channels: int = 3,
        block_layers: Sequence[int] = (6, 12, 24),
        growth_rate: int = 32,
        stem_channels: int = 64,
        bottleneck_ratio: int = 4,
        num_groups: int = 1,
        fusion_indices: Sequence[int] = (2,),
        norm_eval: bool = False,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if not set(fusion_indices) <= set(range(len(block_layers))):
            raise OptionError(
                f'fusion_indices={fusion_indices} are not all from 0 to {len(block_layers) - 1}, '
                f'the dense blocks of block_layers={block_layers}',
                self,
            )
        self.norm_eval = norm_eval
        self.num_blocks = len(block_layers)
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(in_channels, stem_channels, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(stem_channels),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        self.fusions = nn.ModuleDict()
        channels = stem_channels
        for i, num_layers in enumerate(block_layers):
            if i > 0:
                self.features.add_module(f'transition{i}', _transition(channels))
                channels //= 2
            # before the dense block, on what the transition leaves
            if num_groups > 1 and i in fusion_indices:
                self.fusions[str(i)] = _GroupFusion(channels, num_groups)
            block = _dense_block(channels, num_layers, growth_rate, bottleneck_ratio)
            self.features.add_module(f'denseblock{i + 1}', block)
            channels += num_layers * growth_rate
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images (N * num_groups, in_channels, H, W), the groups of an image
                consecutive in slice order.

        Returns:
            tuple[Tensor]: Outputs (N * num_groups, C_i, H_i, W_i) of the dense blocks.
        """
        x = self._stem(x)
        outs = []
        for i in range(self.num_blocks):
            x = self._enter(i, x)
            if str(i) in self.fusions:
                x = self.fusions[str(i)](x)
            x = getattr(self.features, f'denseblock{i + 1}')(x)
            outs.append(x)
        return tuple(outs)

    def forward_alone(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract what of a group's features does not depend on the other groups.

        Args:
            x: Groups (n, in_channels, H, W).

        Returns:
            tuple[Tensor]: Outputs (n, C_i, H_i, W_i) of the dense blocks without fusions, followed
            by the inputs of the fusions, in their order.
        """
        x = self._stem(x)
        outs, inputs = [], []
        for i in range(self.num_blocks):
            x = self._enter(i, x)
            if str(i) in self.fusions:
                inputs.append(x)
            x = getattr(self.features, f'denseblock{i + 1}')(x)
            outs.append(x)
        return (*outs, *inputs)

    def forward_fused(self, alone: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fuse the groups: compute what depends on several of them, the path of the central one.

        Args:
            alone: Of all groups of the images, as :meth:`forward_alone` returns it.

        Returns:
            tuple[Tensor]: As of :meth:`forward`.
        """
        num_groups = next(iter(self.fusions.values())).num_groups
        # alone has the output of each block, then the input of each fusion
        inputs = iter(alone[self.num_blocks :])
        outs: list[Tensor] = []
        x = None  # of the central groups, from the first fusion on
        for i, out in enumerate(alone[: self.num_blocks]):
            if x is not None:
                x = self._enter(i, x)
            if str(i) in self.fusions:
                groups = next(inputs).unflatten(0, (-1, num_groups))
                groups = groups if x is None else replace_middle(groups, x)
                x = cast(_GroupFusion, self.fusions[str(i)]).fuse(groups)
            if x is not None:
                x = getattr(self.features, f'denseblock{i + 1}')(x)
                # the outer groups see no fusion: theirs is what was computed alone
                out = replace_middle(out.unflatten(0, (-1, num_groups)), x).flatten(0, 1)
            outs.append(out)
        return tuple(outs)

    def _stem(self, x: Tensor) -> Tensor:
        for name in STEM:
            x = getattr(self.features, name)(x)
        return x

    def _enter(self, i: int, x: Tensor) -> Tensor:
        """Apply the transition before dense block i, counted from 0."""
        return getattr(self.features, f'transition{i}')(x) if i > 0 else x

    def train(self, mode: bool = True) -> TruncatedDenseNet:
        """Set training mode, except for batch normalization if ``norm_eval``.

        Args:
            mode: Training or evaluation.

        Returns:
            TruncatedDenseNet: Itself.
        """
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # a list, as names change while they are gone through
        for name in [name for name in state_dict if name.startswith(prefix)]:
            state_dict[_OLD_NAME.sub(r'\1\2', name)] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)
