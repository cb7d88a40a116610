"""The base of backbones that keep features of slices for the next key slices."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

import torch
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor

from mmlesion.utils import OptionError

Extract = Callable[[Tensor], Sequence[Tensor]]
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class _Entry(NamedTuple):
    image: Tensor
    features: tuple[Tensor, ...]


class FeatureCache:
    """The features of the images that were asked for last.

    Consecutive key slices of a volume share slices, or groups of them. Images are recognized by
    their values, so that nothing needs to be known of the slices that they were made of, and
    compared in full: features are those of the very same image.

    Args:
        extract: Computes of images (n, ...) their features, a tuple of (n, ...); those
            of an image must not depend on the others.
        size: Most images whose features are kept from call to call.

    Attributes:
        computed: Images whose features were computed.
    """

    def __init__(self, extract: Extract, size: int) -> None:
        self.extract = extract
        self.size = size
        self.computed = 0
        self._entries: OrderedDict[tuple, _Entry] = OrderedDict()

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the features of images (n, ...), as ``extract`` does."""
        keys = self._recognize(images)
        # the first image of each key: going backwards, earlier ones replace later ones
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        fresh = {key: index for key, index in first.items() if key not in self._entries}
        if fresh:
            self._compute(images[list(fresh.values())], list(fresh))
        for key in first:
            self._entries.move_to_end(key)
        found = [self._entries[key].features for key in keys]
        # after use, as one batch may have more images than are kept
        while len(self._entries) > self.size:
            self._entries.popitem(last=False)
        return tuple(torch.stack(level) for level in zip(*found))

    def clear(self) -> None:
        """Forget all features, as the weights may have changed."""
        self._entries.clear()

    def _recognize(self, images: Tensor) -> list[tuple]:
        """Return a key for each image; only equal images have the same."""
        keys: list[tuple] = []
        own: dict[tuple, Tensor] = {}
        for image, key in zip(images, _checksums(images)):
            # equal sums are a guess: the images decide, and unequal ones get a key of their own
            known = self._entries[key].image if key in self._entries else own.setdefault(key, image)
            keys.append(key if torch.equal(known, image) else (*key, object()))
        return keys

    def _compute(self, images: Tensor, keys: list[tuple]) -> None:
        self.computed += len(images)
        levels = self.extract(images)
        for index, key in enumerate(keys):
            # copies, or one of them would keep the whole batch in memory
            features = tuple(level[index].clone() for level in levels)
            self._entries[key] = _Entry(images[index].clone(), features)


def unique_images(images: Tensor) -> tuple[list[int], list[int]]:
    """Find equal images.

    Args:
        images: (n, ...).

    Returns:
        tuple: Indices of the unique ones, the first of each in order, and for each of the n images
        its position among these.
    """
    cache = FeatureCache(lambda unused: (), 0)
    positions: dict[tuple, int] = {}
    indices: list[int] = []
    inverse: list[int] = []
    for index, key in enumerate(cache._recognize(images)):
        if key not in positions:
            positions[key] = len(indices)
            indices.append(index)
        inverse.append(positions[key])
    return indices, inverse


def _checksums(images: Tensor) -> list[tuple[int, int]]:
    """Sum the bits of each image, plainly and by position: exact in any order of summation."""
    bits = images.contiguous().view(_INTEGERS[images.element_size()]).flatten(1)
    plain = bits.sum(1, dtype=torch.int64)
    # odd factors have an inverse modulo 2^64: the change of a single value changes the sum
    positions = torch.arange(1, 2 * bits.shape[1], 2, device=bits.device)
    by_position = torch.stack([(row * positions).sum() for row in bits])
    return list(zip(plain.tolist(), by_position.tolist()))


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

    def __init__(self, feature_cache: int, init_cfg: OptMultiConfig) -> None:
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
