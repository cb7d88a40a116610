"""Online hard example mining for an RPN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class HardNegativeLoss(nn.Module):
    """Classification loss of an RPN by online hard example mining (OHEM).

    The baseline of 3D Aggregated Faster R-CNN (Table II, rows a and c), as in its reference [9]: of
    randomly drawn negatives only those with the highest scores are used; their mean cross-entropy
    and that of the positives have equal weights. The paper does not specify the numbers: the
    defaults are those of [9], which draws 800 and keeps 2 per volume, for batches of two volumes.

    mmdet's ``OHEMSampler`` only supports RoI heads, from which it obtains the losses.

    Args:
        num_drawn: Negatives of a batch that are drawn. Defaults to 1600.
        num_hard: Those of them that count. Defaults to 4.
        loss_weight: Of the whole. Defaults to 1.
    """

    def __init__(self, num_drawn: int = 1600, num_hard: int = 4, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.num_drawn = num_drawn
        self.num_hard = num_hard
        self.loss_weight = loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor, avg_factor: float | None = None
    ) -> Tensor:
        """Compute the loss of the positives and the hard negatives of a batch.

        Args:
            pred: Scores (n, 1) before the sigmoid.
            target: Labels (n,) as in mmdet: 0 for a lesion, 1 for background.
            weight: (n,), zero for ignored anchors.
            avg_factor: Not used; mmdet's heads pass it to each loss.

        Returns:
            Tensor: The loss, a scalar.
        """
        pred = pred.squeeze(1).float()
        chosen = weight > 0
        positive, negative = pred[chosen & (target == 0)], pred[chosen & (target != 0)]
        # first at random, then the hardest of those: not the same few of all anchors each time
        drawn = negative[torch.randperm(len(negative), device=pred.device)[: self.num_drawn]]
        hard = drawn.topk(min(self.num_hard, len(drawn))).values
        return self.loss_weight * (_mean(F.softplus(-positive)) + _mean(F.softplus(hard))) / 2


def _mean(losses: Tensor) -> Tensor:
    """Return the mean, or 0 if empty."""
    return losses.sum() / max(len(losses), 1)
