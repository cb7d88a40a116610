"""A wrapper that gives any 2D backbone the context of neighboring slices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import torch
from mmcv.cnn import build_conv_layer
from mmcv.cnn.bricks.wrappers import Conv2d as WrappedConv2d
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, OptMultiConfig
from torch import Tensor, nn

from mmlesion.utils import OptionError, UserError

from ..layers import (
    AlignShiftConv,
    CenterSlice,
    ConcatSlices,
    MeanSlice,
    SliceAttention,
    split_slices,
)
from .shared_features_backbone import Extract, SharedFeaturesBackbone, unique_images

_CONVS = ('A3D', 'AlignShift', 'TSM', 'I3D', 'ACS')
_STEM_INPUTS = ('slice', 'neighbors')
_FUSIONS = dict(center=CenterSlice, mean=MeanSlice, attention=SliceAttention, concat=ConcatSlices)


@MODELS.register_module()
class SliceContextBackbone(SharedFeaturesBackbone):
    """A 2D backbone whose convolutions see neighboring slices (AlignShift, A3D, TSM, I3D, ACS).

    Each slice of an image goes through the backbone as an image of its own, repeated to the input
    channels that the pretrained stem has: as a stem of one channel with the summed filters; or,
    with ``stem_input='neighbors'``, between its neighbors as the other channels, so that with A3D
    the detector begins as that of three slices as channels. In the backbone, convolutions become
    operators that exchange features between the slices of an image
    (:class:`~mmlesion.models.A3DConv`, :class:`~mmlesion.models.AlignShiftConv`,
    :class:`~mmlesion.models.TSMConv`, :class:`~mmlesion.models.I3DConv`,
    :class:`~mmlesion.models.ACSConv`). Weights keep their names, so that ``init_cfg`` of the
    backbone loads those of the 2D network; everything but ACS keeps its function, too: A3D without
    noise on any slices, the others on equal ones.

    Converted are the convolutions of more than 1 x 1 that do not see the image: the 3 x 3 of
    ResNet's, ResNeXt's and RegNet's blocks and of DenseNet's layers, the 7 x 7 of ConvNeXt's
    blocks and the 2 x 2 between its stages.
    AlignShift's and A3D's program converts the 1 x 1 of DenseNet's layers as well
    (``convs=r'denselayer'``) and neither stem nor transitions. Deformable convolutions stay as they
    are. A Swin Transformer has no convolution but its patch embedding: nothing to convert.

    The images have ``num_slices`` channels (``LoadCTSlices(num_slices=7)``), and a data
    preprocessor with one mean and standard deviation for all of them and ``bgr_to_rgb=False``;
    AlignShift needs :class:`~mmlesion.models.SliceContextDataPreprocessor`.

    Args:
        backbone: Config of the 2D backbone, of mmdet or another.
        conv: 'A3D', 'AlignShift', 'TSM', 'I3D' or 'ACS', or the config of
            any conv layer that takes ``num_slices``, such as ``dict(type='A3DConv', noise=0.1)``.
            None converts nothing: slices meet in the fusion alone, A3D's "NoFusion" in the
            backbone. Defaults to 'A3D'.
        num_slices: Slices of an image, odd. Defaults to 3.
        fuse: How a level's slices become one map: 'center', the key slice; 'mean';
            'attention' (:class:`~mmlesion.models.SliceAttention`); or 'concat', all of them in the
            channels for :class:`~mmlesion.models.SliceGroupFusion` with ``num_groups=num_slices``,
            which is AlignShift's and A3D's convolution over the slices. Defaults to 'center'.
        convs: Regular expression that is searched in the names of the backbone's
            convolutions; those that match are converted. Defaults to None, as above.
        stem_input: What the channels of the stem are: 'slice', the slice in all of them, as
            in the papers, or 'neighbors', slices n - 1, n and n + 1 of slice n. The outermost ones
            have themselves beyond them. Defaults to 'slice'.
        feature_cache: Slices whose features are kept in evaluation, as by
            :meth:`share_features`: for tests of all slices of volumes, in their order. They are
            forgotten when the model changes to evaluation or training, or loads weights. Defaults
            to 0.
        init_cfg: Initialization config; the weights of ImageNet
            belong to that of ``backbone``. Defaults to None.

    Raises:
        OptionError: If ``conv``, ``fuse`` or ``stem_input`` is unknown, ``num_slices`` is even, the
            neighbors do not fit the stem's channels, there is nothing to convert, or
            ``feature_cache`` is negative.
    """

    kept = 'slices'

    def __init__(
        self,
        backbone: ConfigType,
        conv: str | dict | None = 'A3D',
        num_slices: int = 3,
        fuse: str = 'center',
        convs: str | None = None,
        stem_input: str = 'slice',
        feature_cache: int = 0,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(feature_cache, init_cfg)
        if num_slices < 1 or num_slices % 2 == 0:
            raise OptionError(f'num_slices must be odd and positive, but got {num_slices}', self)
        if fuse not in _FUSIONS:
            raise OptionError(f'fuse={fuse!r} is not one of {", ".join(_FUSIONS)}', self)
        if stem_input not in _STEM_INPUTS:
            raise OptionError(f'stem_input={stem_input!r} is not {" or ".join(_STEM_INPUTS)}', self)
        self.num_slices = num_slices
        self.stem_input = stem_input
        self.in_channels = backbone.get('in_channels', 3)
        if stem_input == 'neighbors' and self.in_channels % 2 == 0:
            raise OptionError(
                f"stem_input='neighbors' needs a stem of an odd number of channels, but "
                f'the backbone has in_channels={self.in_channels}',
                self,
            )
        self.backbone = MODELS.build(backbone)
        self.converted: list[str] = []
        if conv is not None:
            self._convert(dict(_conv_cfg(conv), num_slices=num_slices), convs)
            self._add_to_initializers()
        self.fusion = _FUSIONS[fuse]()
        self.share_features(feature_cache)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images (N, num_slices, H, W); a further channel, constant, is the distance
                of their slices in mm.

        Returns:
            tuple[Tensor]: For each level of the backbone (N, C, h, w) of the key slice; with
            ``fuse='concat'`` (N, num_slices * C, h, w).

        Raises:
            UserError: If the images have another number of channels, or AlignShift lacks the
                distance.
        """
        self._check(x)
        # the channel after the slices holds one number per image, mm
        distance = x[:, self.num_slices, 0, 0] if x.shape[1] > self.num_slices else None
        for module in self.backbone.modules():
            if isinstance(module, AlignShiftConv):
                module.slice_distance = distance
        slices = self._separate(x[:, : self.num_slices])
        cache = self.usable_cache
        outs: Sequence[Tensor]
        if cache is not None:
            outs = cache(slices)
        elif self.shares_batch and not self.training:
            outs = self._extract_shared(slices)
        else:
            outs = self._extract(slices)
        return tuple(self.fusion(split_slices(out, self.num_slices)) for out in outs)

    @property
    def shared_part(self) -> Extract | None:
        """callable: The backbone; None if operators mix the slices of a key slice in it."""
        return None if self.converted else self._extract

    def share_features(self, size: int) -> None:
        """Compute once what key slices share, in evaluation.

        Without operators (``conv=None``) those are a slice's features, which are kept from pass to
        pass; the weights must not change in the meantime. Otherwise it is what lies before the
        first operator, of the slices that images of a batch share: behind it features belong to the
        window of a key slice.

        Args:
            size: Most slices whose features are kept; 0 goes back to ``feature_cache``.
        """
        super().share_features(size)
        self.shares_batch = self.cache is None and max(size, self.feature_cache) > 0

    def _separate(self, x: Tensor) -> Tensor:
        """Return the slices (N * num_slices, channels, H, W), an image's one after another."""
        if self.stem_input == 'slice':
            return x.reshape(-1, 1, *x.shape[2:])
        half = self.in_channels // 2
        # (num_slices, in_channels) numbers of the slices that a slice's channels are
        numbers = torch.arange(self.num_slices)[:, None] + torch.arange(-half, half + 1)
        return x[:, numbers.clamp(0, self.num_slices - 1)].flatten(0, 1)

    def _extract(self, slices: Tensor) -> Sequence[Tensor]:
        return self.backbone(slices.expand(-1, self.in_channels, -1, -1))

    def _extract_shared(self, slices: Tensor) -> Sequence[Tensor]:
        """Extract features of unique slices until a module with an operator takes all of them."""
        indices, inverse = unique_images(slices)

        def spread(module: nn.Module, inputs: tuple) -> tuple | None:
            # the outermost of the modules around an operator is the first that finds unique slices
            if isinstance(inputs[0], Tensor) and len(inputs[0]) < len(inverse):
                return (inputs[0][inverse], *inputs[1:])
            return None

        hooks = [part.register_forward_pre_hook(spread) for part in self._modules_with_operators()]
        try:
            outs = self._extract(slices[indices])
        finally:
            for hook in hooks:
                hook.remove()
        # levels from before the first operator
        return [out[inverse] if len(out) < len(inverse) else out for out in outs]

    def _modules_with_operators(self) -> list[nn.Module]:
        """Return the operators and the modules that they are in, but for the backbone itself."""
        names: set[str] = set()
        for name in self.converted:
            parts = name.split('.')
            names.update('.'.join(parts[: depth + 1]) for depth in range(len(parts)))
        return [self.backbone.get_submodule(name) for name in sorted(names)]

    def _convert(self, cfg: dict, pattern: str | None) -> None:
        """Replace the convolutions; their weights, if there are any yet, are kept."""
        chosen = [
            found for found in _convolutions(self.backbone) if self._is_chosen(*found, pattern)
        ]
        if not chosen:
            raise OptionError(
                f'{type(self.backbone).__name__} has no convolution to convert'
                + (f' whose name matches {pattern!r}' if pattern else ' beside its stem')
                + ': choose another backbone, or other ones by convs'
            )
        for name, conv in chosen:
            parent, _, last = name.rpartition('.')
            self.backbone.get_submodule(parent).add_module(last, _converted(conv, cfg))
        self.converted = [name for name, _ in chosen]

    def _add_to_initializers(self) -> None:
        """Add the operators to the layers of the backbone's initializers."""
        # which go by the names of a class and its direct bases; an operator's is not Conv2d
        operator = type(self.backbone.get_submodule(self.converted[0])).__name__
        for module in self.backbone.modules():
            init_cfg = getattr(module, 'init_cfg', None) or []
            for cfg in [init_cfg] if isinstance(init_cfg, dict) else init_cfg:
                layers = cfg.get('layer', [])
                layers = [layers] if isinstance(layers, str) else layers
                if 'Conv2d' in layers:
                    cfg['layer'] = [*layers, operator]

    def _is_chosen(self, name: str, conv: nn.Conv2d, pattern: str | None) -> bool:
        if pattern is not None:
            return re.search(pattern, name) is not None
        return max(conv.kernel_size) > 1 and conv.in_channels != self.in_channels

    def _check(self, x: Tensor) -> None:
        if x.shape[1] not in (self.num_slices, self.num_slices + 1):
            raise UserError(
                f'SliceContextBackbone takes images of {self.num_slices} slices, but got '
                f'{x.shape[1]} channels: load as many slices '
                f"(dict(type='LoadCTSlices', num_slices={self.num_slices})) and set "
                'bgr_to_rgb=False in data_preprocessor, which keeps three channels otherwise'
            )


def _conv_cfg(conv: str | dict) -> dict:
    if not isinstance(conv, str):
        return conv
    if conv not in _CONVS:
        raise OptionError(f'conv={conv!r} is not one of {", ".join(_CONVS)}, nor a config')
    return dict(type=f'{conv}Conv')


def _convolutions(backbone: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    """Yield names and plain 2D convolutions, neither deformable ones nor those of their offsets."""
    for name, module in backbone.named_modules():
        if type(module) in (nn.Conv2d, WrappedConv2d) and not name.endswith('conv_offset'):
            yield name, module


def _converted(conv: nn.Conv2d, cfg: dict) -> nn.Module:
    """Build an operator with a convolution's options and weights."""
    operator = build_conv_layer(
        cfg,
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    # an operator's own parameters, such as A3D's mixing, are not in a convolution's weights
    operator.load_state_dict(conv.state_dict(), strict=False)
    operator.requires_grad_(conv.weight.requires_grad)  # False in frozen stages
    return operator
