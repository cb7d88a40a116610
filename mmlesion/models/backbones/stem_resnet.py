"""ResNet with the stem's features as an additional output."""

from __future__ import annotations

from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class StemResNet(ResNet):
    """mmdet's ResNet with C1 as the first output, the stem's at stride 2 before pooling.

    Dense supervision needs C1 in addition to the stages' outputs (improved RetinaNet, section 2.2).
    Arguments and weights are those of :class:`mmdet.models.ResNet`; C1 has ``stem_channels``
    channels (64).
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: C1 at stride 2, and the stages of ``out_indices``: C2 to C5 at strides 4
            to 32 by default.
        """
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        # C1, before pooling halves it
        outs = [x]
        x = self.maxpool(x)
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)
