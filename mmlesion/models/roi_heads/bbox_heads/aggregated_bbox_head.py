"""The region classifier of the FPRN branch."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class AggregatedBBoxHead(BaseModule):
    """Classifier of the aggregated features of regions, lesion or false positive.

    Two fully connected layers (3D Aggregated Faster R-CNN, Table I: 768 x 256, 256 x 1). Spheres
    are not regressed again.

    Args:
        in_channels: Of all levels of the pyramid together. ``AggregatedRoIHead`` gives those
            of its extractor where a config names none.
        fc_out_channels: Channels of the hidden layer. Defaults to 256.
        loss_cls: Loss of one score, by a sigmoid. Defaults to cross-entropy.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        in_channels: int,
        fc_out_channels: int = 256,
        loss_cls: ConfigType = dict(type='CrossEntropyLoss', use_sigmoid=True),
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(
            init_cfg
            or [
                dict(type='Xavier', distribution='uniform', layer='Linear'),
                dict(type='Normal', std=0.01, override=dict(name='fc_cls')),
            ]
        )
        self.fc = nn.Sequential(nn.Linear(in_channels, fc_out_channels), nn.ReLU(inplace=True))
        self.fc_cls = nn.Linear(fc_out_channels, 1)
        self.loss_cls = MODELS.build(loss_cls)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Classify regions.

        Args:
            x: Features (n, in_channels).

        Returns:
            tuple: Scores (n, 1) before the sigmoid, and None, as there is no regression.
        """
        return self.fc_cls(self.fc(x)), None

    def loss(self, cls_score: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            cls_score: Scores (n, 1) before the sigmoid.
            labels: (n,) as mmdet has them: 0 of a lesion, 1 of background.

        Returns:
            Tensor: The loss, a scalar.
        """
        return self.loss_cls(cls_score, labels, avg_factor=max(len(labels), 1))
