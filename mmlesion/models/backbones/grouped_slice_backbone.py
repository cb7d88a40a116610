"""A wrapper that applies a 2D backbone to groups of slices."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmdet.utils import ConfigType, OptMultiConfig
from torch import Tensor

from mmlesion.utils import OptionError, UserError

from .shared_features_backbone import Extract, SharedFeaturesBackbone
from .truncated_dense_net import TruncatedDenseNet


@MODELS.register_module()
class GroupedSliceBackbone(SharedFeaturesBackbone):
    """A 2D backbone applied to groups of slices, for more slices than its input channels.

    Neighboring slices are grouped to the three input channels of a pretrained backbone, and each
    group is processed with the same weights (ElixirNet, section "ElixirNet", and its rows with nine
    slices, after 3DCE). Group features are concatenated along the channels in slice order;
    :class:`~mmlesion.models.SliceGroupFusion` fuses them.

    The images need that many slices (``LoadCTSlices(num_slices=9)``), and a data preprocessor with
    one mean and standard deviation for all of them and ``bgr_to_rgb=False``.

    Args:
        backbone: Config of the shared backbone, of mmdet or another; its ``in_channels`` are
            the slices of a group, 3 by default.
        num_groups: Number of groups. Defaults to 3, which makes nine slices.
        feature_cache: Groups whose features are kept in evaluation, as by
            :meth:`share_features`: for tests of all slices of volumes, in their order. They are
            forgotten when the model changes to evaluation or training, or loads weights. Defaults
            to 0.
        init_cfg: Initialization config; the weights of ImageNet
            belong to that of ``backbone``. Defaults to None.
    """

    def __init__(
        self,
        backbone: ConfigType,
        num_groups: int = 3,
        feature_cache: int = 0,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(feature_cache, init_cfg)
        if num_groups < 1:
            raise OptionError(f'num_groups must be at least 1, but got {num_groups}', self)
        self.backbone = MODELS.build(backbone)
        self.num_groups = num_groups
        self.group_size = backbone.get('in_channels', 3)
        self.share_features(feature_cache)

    @property
    def sharing_distance(self) -> int:
        """int: Slices from a group to the next, after which another key slice has it."""
        return self.group_size

    @property
    def shared_part(self) -> Extract:
        """callable: The backbone; of one that fuses groups what belongs to a group alone."""
        # fusions depend on all groups of a key slice: what a group computes alone can be shared
        fuses = isinstance(self.backbone, TruncatedDenseNet) and len(self.backbone.fusions) > 0
        return self.backbone.forward_alone if fuses else self.backbone

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images (N, num_groups * slices of a group, H, W).

        Returns:
            tuple[Tensor]: For each level of the backbone (N, num_groups * C, h, w).

        Raises:
            UserError: If the images have another number of channels.
        """
        self._check(x)
        # as one batch: batch normalization takes its statistics from all groups
        groups = x.unflatten(1, (self.num_groups, self.group_size)).flatten(0, 1)
        cache = self.usable_cache
        if cache is None:
            outs = self.backbone(groups)
        elif cache.extract is self.backbone:
            outs = cache(groups)
        else:
            outs = self.backbone.forward_fused(cache(groups))
        # (N * num_groups, C, h, w) -> (N, num_groups * C, h, w) on each level
        sizes = len(x), self.num_groups
        return tuple(out.unflatten(0, sizes).flatten(1, 2) for out in outs)

    def _check(self, x: Tensor) -> None:
        expected = self.num_groups * self.group_size
        if x.shape[1] != expected:
            raise UserError(
                f'GroupedSliceBackbone takes images of {expected} channels, {self.num_groups} '
                f'groups of {self.group_size} slices, but got {x.shape[1]}: load as many slices '
                f"(dict(type='LoadCTSlices', num_slices={expected})) and set bgr_to_rgb=False in "
                'data_preprocessor, which keeps three channels otherwise'
            )
