"""The base of backbones that keep features for the next key slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmlesion.utils import OptionError

from ..utils import FeatureCache

Extract = Callable[[Tensor], Sequence[Tensor]]


class SharedFeaturesBackbone(BaseModule):
    """A backbone that computes once what consecutive key slices of a volume share.

    Args:
        feature_cache: Groups or slices whose features are kept in evaluation, as by
            :meth:`share_features`: for tests of all slices of volumes, in their order. They are
            forgotten when the model changes to evaluation or training, or loads weights.
        init_cfg: Initialization config.

    Attributes:
        kept: What features are kept of, for messages.

    Raises:
        OptionError: If ``feature_cache`` is negative.
    """

    kept = 'groups'

    def __init__(self, feature_cache: int, init_cfg: dict | list[dict] | None) -> None:
        super().__init__(init_cfg)
        if feature_cache < 0:
            raise OptionError(
                f'feature_cache must be 0 or more {self.kept}, not {feature_cache}', self
            )
        self.feature_cache = feature_cache
        self.cache: FeatureCache | None = None

    @property
    def shared_part(self) -> Extract | None:
        """callable: Computes what depends on a group or slice alone; None if nothing does."""
        raise NotImplementedError

    @property
    def usable_cache(self) -> FeatureCache | None:
        """FeatureCache: None if no features are kept, or may be used."""
        # kept features have no gradient, and statistics of a batch would be of fresh ones alone
        return None if self.training or torch.is_grad_enabled() else self.cache

    def share_features(self, size: int) -> None:
        """Keep features from pass to pass, for key slices that share them.

        They are used in evaluation without gradients; the weights must not change in the meantime.

        Args:
            size: Most groups or slices that are kept; 0 goes back to ``feature_cache``.
        """
        size = size or self.feature_cache
        extract = self.shared_part
        self.cache = FeatureCache(extract, size) if size and extract is not None else None

    def train(self, mode: bool = True) -> SharedFeaturesBackbone:
        """Set training mode, and forget features.

        Args:
            mode: Training or evaluation.

        Returns:
            SharedFeaturesBackbone: Itself.
        """
        self._forget()
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any) -> None:
        self._forget()
        super()._load_from_state_dict(*args)

    def _forget(self) -> None:
        if self.cache is not None:
            self.cache.clear()
