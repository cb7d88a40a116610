"""VGG as a backbone of feature pyramids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mmcv.cnn import VGG as ClassifierVGG
from mmdet.registry import MODELS
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.utils import UserError


def check_layout(state_dict: dict, prefix: str, features: nn.Sequential) -> None:
    """Check that weights are of a VGG with the same layout of convolutions and normalizations.

    Of others only some tensors would fit, and those by accident.

    Args:
        state_dict: The weights; those without ``features`` in their name are ignored.
        prefix: Prefix of the names of a VGG's weights.
        features: The layers that load them.

    Raises:
        UserError: If they are of another VGG.
    """
    begin = f'{prefix}features.'
    names = {name.removeprefix(begin) for name in state_dict if name.startswith(begin)}
    given, own = _without_counters(names), _without_counters(features.state_dict())
    if given and given != own:
        raise UserError(
            f'the weights are of a VGG of {_describe_layout(given)} batch normalization, the '
            "backbone is another: set the backbone's depth and with_bn, or give other weights"
        )


def _describe_layout(names: set[str]) -> str:
    """Return the number of convolutions, and whether they have batch normalization."""
    endings = Counter(name.rpartition('.')[2] for name in names)
    # Convolutions and normalizations have a bias each, normalizations a running mean too.
    norms = endings['running_mean']
    return f'{endings["bias"] - norms} convolutions {"with" if norms else "without"}'


def _without_counters(names: Iterable[str]) -> set[str]:
    """Leave out the numbers of batches seen, which older weights do not have."""
    return {name for name in names if not name.endswith('num_batches_tracked')}


@MODELS.register_module()
class VGG(ClassifierVGG, BaseModule):
    """VGG backbone for feature pyramids, VGG-19 by default (improved RetinaNet, section 2.1).

    Its outputs C1 to C5 are those of the five poolings: strides 2, 4, 8, 16, 32 and channels 64,
    128, 256, 512, 512. The weights' names are torchvision's (``features.0.weight``), so that
    ``init_cfg=dict(type='Pretrained', checkpoint='torchvision://vgg19')``,
    ``torchvision://vgg19_bn`` or such a file from disk loads; the classifier and, with
    ``in_channels`` other than 3, the first convolution are ignored, as reported in mmengine's log.
    Weights of another VGG, such as those with batch normalization for one without, raise a
    ``UserError``.

    Args:
        depth: 11, 13, 16 or 19. Defaults to 19.
        in_channels: Channels of the images. Defaults to 3.
        with_bn: Whether batch normalization follows each convolution. Defaults to False.
        out_indices: Which of C1 to C5 to return, from 0. Defaults to all.
        frozen_stages: How many stages, from the first, are not trained. -1 freezes none.
        norm_eval: Whether batch normalization uses its running statistics in training.
            Defaults to True.
        init_cfg: Initialization config. Defaults to None, Kaiming
            initialization.
    """

    def __init__(
        self,
        depth: int = 19,
        in_channels: int = 3,
        with_bn: bool = False,
        out_indices: Sequence[int] = (0, 1, 2, 3, 4),
        frozen_stages: int = -1,
        norm_eval: bool = True,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(
            depth,
            with_bn=with_bn,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            bn_eval=norm_eval,
        )
        self.init_cfg = init_cfg or [
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer='BatchNorm2d'),
        ]
        if in_channels != 3:
            self.features[0] = nn.Conv2d(in_channels, 64, 3, padding=1)
        # mmcv freezes in train(), which a loop calls after the model was wrapped for several
        # processes: these would wait for the gradients of frozen parameters
        self.train()

    def init_weights(self) -> None:
        """Initialize the weights according to ``init_cfg``."""
        # past mmcv's own method, which does not know init_cfg
        super(ClassifierVGG, self).init_weights()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        check_layout(state_dict, prefix, self.features)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: The stages of ``out_indices``, C1 to C5 at strides 2 to 32.
        """
        outs = super().forward(x)
        return outs if isinstance(outs, tuple) else (outs,)

    def train(self, mode: bool = True) -> VGG:
        """Set training mode, except for frozen layers.

        Args:
            mode: Training or evaluation.

        Returns:
            VGG: Itself.
        """
        super().train(mode)
        return self
