"""Losses of the RPN of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.logging import MessageHub
from torch import Tensor, nn


@MODELS.register_module()
class FocusShiftLoss(nn.Module):
    """Classification loss of an RPN whose focus moves from negatives to positives.

    Equation 3 of 3D Aggregated Faster R-CNN, section III-B, the paper's "adaptive focal loss":

        T log(N_TN) / N_TN * sum over negatives of L_F + 1 / N_pos * sum over positives of L_CE

    L_F = -alpha p^gamma log(1 - p) is the focal loss and L_CE = -log(p) cross-entropy, of the
    probability p of a lesion. N_TN counts negatives with p < 0.5, the true ones. T increases
    linearly with the completed fraction of training, so that it does not depend on the number of
    GPUs; the fraction is read from mmengine's message hub, so that resumed runs continue correctly.

    The paper gives neither the initial nor the final value of T. alpha and T act as a single
    factor, as positives have neither: ``alpha=0.2`` is equivalent to a T four times smaller. N_TN
    is at least e, below which log(N) / N, and with it the loss, would decrease to zero.

    Args:
        alpha: Weight of negatives. Defaults to 0.8.
        gamma: Exponent that lowers the loss of easy negatives. Defaults to 5.
        t_init: T at the first iteration. Defaults to 1.
        t_final: T when training ends. Defaults to 30.
        loss_weight: Of the whole. Defaults to 1.
    """

    def __init__(
        self,
        alpha: float = 0.8,
        gamma: float = 5.0,
        t_init: float = 1.0,
        t_final: float = 30.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.t_init = t_init
        self.t_final = t_final
        self.loss_weight = loss_weight

    @property
    def focus_shift(self) -> float:
        """float: T of the current iteration; outside a run that of the first."""
        hub = MessageHub.get_current_instance()
        done = hub.get_info('iter', 0) / hub.get_info('max_iters', 1)
        return self.t_init + (self.t_final - self.t_init) * done

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor, avg_factor: float | None = None
    ) -> Tensor:
        """Compute the loss of all anchors of a batch.

        Args:
            pred: Scores (n, 1) before the sigmoid.
            target: Labels (n,) as in mmdet: 0 for a lesion, 1 for background.
            weight: (n,), zero for ignored anchors.
            avg_factor: Not used, as equation 3 has its own normalization; mmdet's
                heads pass it to each loss.

        Returns:
            Tensor: The loss, a scalar.
        """
        pred = pred.squeeze(1).float()  # of 10^5 anchors half precision would lose the sum
        positive, negative = _positive_and_negative(target, weight)
        # L_F of the negatives: -log(1 - p) is softplus of the logit, which does not overflow.
        logits = pred[negative]
        focal = self.alpha * logits.sigmoid() ** self.gamma * F.softplus(logits)
        # log(x) / x has its maximum at e and would fall to 0 for fewer
        true_negatives = (logits < 0).sum().float().clamp(min=math.e)
        factor = self.focus_shift * true_negatives.log() / true_negatives
        negatives = factor * (focal * weight[negative]).sum()
        entropy = (F.softplus(-pred[positive]) * weight[positive]).sum()
        positives = entropy / positive.sum().clamp(min=1)
        return self.loss_weight * (negatives + positives)


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
        positive, negative = (pred[mask] for mask in _positive_and_negative(target, weight))
        # first at random, then the hardest of those: not the same few of all anchors each time
        drawn = negative[torch.randperm(len(negative), device=pred.device)[: self.num_drawn]]
        hard = drawn.topk(min(self.num_hard, len(drawn))).values
        return self.loss_weight * (_mean(F.softplus(-positive)) + _mean(F.softplus(hard))) / 2


def _positive_and_negative(target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return which anchors (n,) that are not ignored are lesions, and which background."""
    chosen = weight > 0
    # mmdet's labels: 0 is the only class, 1 the background
    return chosen & (target == 0), chosen & (target != 0)


def _mean(losses: Tensor) -> Tensor:
    """Return the mean, or 0 if empty."""
    return losses.sum() / max(len(losses), 1)
