"""TruncatedRPN of ElixirNet."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.task_modules import AssignResult, SamplingResult
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmdet.models.utils import (
    images_to_levels,
    multi_apply,
    select_single_mlvl,
    unpack_gt_instances,
)
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmdet.utils import ConfigType, InstanceList, OptConfigType
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmlesion.utils import OptionError


@MODELS.register_module()
class TruncatedRPNHead(RPNHead):
    """RPN restricted to the locations selected by a learned confidence map.

    TruncatedRPN of ElixirNet, sections "TruncatedRPN" and "Implementation Details". On each feature
    level I, a 1x1 convolution and a sigmoid, shared by the levels like the rest of an RPN, compute
    a confidence map p. p * I replaces I in the RPN, and a location whose p does not exceed the
    threshold is truncated: it has no anchors.

    In the paper, p is trained only through p * I. Nothing then encourages p to be high at lesions:
    it decreases where features are strong, a truncated lesion has no positive anchors left to raise
    it again, and small p shrink the features. Three options therefore depart from the paper by
    default (see ``configs/baselines/README.md`` for measurements); with
    ``normalize_confidence=False, truncate_positives=True, loss_confidence=None`` the head has
    nothing that the paper does not mention. mmdet's ``GuidedAnchorHead`` is the precedent of the
    separate loss: its location branch, likewise a 1x1 convolution and a sigmoid, is trained by one.

    The paper leaves open whether the RPN's 3x3 convolution sees truncated neighbors. By default it
    does, and only their anchors are gone; with ``truncate_features`` it sees zeros there, as
    equation 1 reads to the letter.

    What pads an image to its batch's size has no part in any mean, and features of 0: given the
    same features, an image's scores do not depend on the images beside it.

    Args:
        in_channels: Channels of the feature maps.
        threshold: ``'mean'``, the mean of p for each image and level, or a number
            that p must exceed. Defaults to ``'mean'``.
        normalize_confidence: Whether the features are scaled by p over its mean in the image
            (a constant for the gradient), so that they keep their magnitude, instead of by p
            itself. Defaults to True; the paper's is False.
        truncate_features: Whether the features of truncated locations are 0 in the RPN, in
            training and in test. Defaults to False.
        truncate_positives: Whether training also truncates anchors that match a lesion,
            instead of only negatives. Defaults to False; the paper's is True.
        loss_confidence: Loss that trains p on which locations have an anchor that
            matches a lesion, truncated or not: half of its weight is assigned to these, half to the
            others. Defaults to binary cross-entropy; the paper's is None.
        anchor_generator: Defaults to the paper's five scales and three ratios.
        **kwargs: The other arguments of :class:`mmdet.models.RPNHead`, which rejects unknown ones.

    Raises:
        UserError: If ``threshold`` is neither ``'mean'`` nor a number.
    """

    def __init__(
        self,
        in_channels: int,
        threshold: str | float = 'mean',
        normalize_confidence: bool = True,
        truncate_features: bool = False,
        truncate_positives: bool = False,
        loss_confidence: OptConfigType = dict(type='CrossEntropyLoss', use_sigmoid=True),
        anchor_generator: ConfigType = dict(
            type='AnchorGenerator',
            scales=[2, 3, 4, 6, 12],
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64],
        ),
        **kwargs: Any,
    ) -> None:
        if threshold != 'mean' and not isinstance(threshold, (int, float)):
            raise OptionError(f"threshold must be 'mean' or a number, not {threshold!r}", self)
        self.threshold = threshold
        self.normalize_confidence = normalize_confidence
        self.truncate_features = truncate_features
        self.truncate_positives = truncate_positives
        super().__init__(in_channels=in_channels, anchor_generator=anchor_generator, **kwargs)
        self.loss_confidence = MODELS.build(loss_confidence) if loss_confidence else None

    def _init_layers(self) -> None:
        super()._init_layers()
        self.rpn_confidence = nn.Conv2d(self.in_channels, 1, 1)

    def loss(self, x: tuple[Tensor, ...], batch_data_samples: SampleList) -> dict:
        """Compute the losses, see :meth:`mmdet.models.RPNHead.loss`."""
        gt_instances, ignored, metas = unpack_gt_instances(batch_data_samples)
        scores, deltas, confidences = self(x, metas)
        return self.loss_by_feat(scores, deltas, confidences, gt_instances, metas, ignored)

    def predict(
        self, x: tuple[Tensor, ...], batch_data_samples: SampleList, rescale: bool = False
    ) -> InstanceList:
        """Propose boxes, see :meth:`mmdet.models.RPNHead.predict`."""
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_by_feat(*self(x, metas), batch_img_metas=metas, rescale=rescale)

    def loss_and_predict(
        self,
        x: tuple[Tensor, ...],
        batch_data_samples: SampleList,
        proposal_cfg: OptConfigType = None,
    ) -> tuple[dict, InstanceList]:
        """Do both with one forward, see :meth:`mmdet.models.RPNHead.loss_and_predict`."""
        gt_instances, ignored, metas = unpack_gt_instances(batch_data_samples)
        scores, deltas, confidences = self(x, metas)
        losses = self.loss_by_feat(scores, deltas, confidences, gt_instances, metas, ignored)
        proposals = self.predict_by_feat(scores, deltas, confidences, metas, proposal_cfg)
        return losses, proposals

    def forward(
        self, x: tuple[Tensor, ...], batch_img_metas: list[dict] | None = None
    ) -> tuple[list[Tensor], ...]:
        """Predict on all feature levels.

        Args:
            x: Features (N, C, H, W) of each level.
            batch_img_metas: ``img_shape`` of each image, in px. Defaults to
                None: the images fill the maps.

        Returns:
            tuple[list[Tensor]]: The results of :meth:`forward_single` for each level.
        """
        insides = [
            _inside(level, batch_img_metas, stride)
            for level, stride in zip(x, self.prior_generator.strides)
        ]
        return multi_apply(self.forward_single, x, insides)

    def forward_single(self, x: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
        """Predict on one feature level.

        Args:
            x: Features (N, C, H, W).
            inside: (N, 1, H, W), 1 in the images and 0 in what pads them.

        Returns:
            tuple[Tensor]: Scores (N, A, H, W) and box deltas (N, A * 4, H, W) of the A anchors of
            every location, and the confidence (N, 1, H, W) of the location, before the sigmoid.
        """
        confidence = self.rpn_confidence(x)
        scale = self._feature_scale(confidence, inside)
        return *super().forward_single(scale * x), confidence

    def _feature_scale(self, confidence: Tensor, inside: Tensor) -> Tensor:
        """Return the factor (N, 1, H, W) for a level's features: p, or p over its mean."""
        scale = confidence.sigmoid() * inside
        if self.normalize_confidence:
            p = scale.float()  # in half precision the mean would be rounded
            # detached: the mean normalizes, and is not trained against
            mean = _mean(p.detach(), inside).clamp(min=torch.finfo(p.dtype).tiny)
            scale = (p / mean).to(confidence.dtype)
        if self.truncate_features:
            scale = scale * self._keep(confidence, inside)
        return scale

    @torch.no_grad()
    def _keep(self, confidence: Tensor, inside: Tensor) -> Tensor:
        """Return a mask (N, 1, H, W) of the locations that are not truncated."""
        p = confidence.float().sigmoid()  # in half precision the mean would be rounded
        threshold = _mean(p, inside) if self.threshold == 'mean' else float(self.threshold)
        return (p > threshold) & inside.bool()

    def keep_locations(self, confidences: list[Tensor], img_meta: dict) -> list[Tensor]:
        """Return the locations of an image that are not truncated.

        Args:
            confidences: Confidence (1, H, W) of each level, before the sigmoid.
            img_meta: ``img_shape`` of the image, in px.

        Returns:
            list[Tensor]: Mask (H * W,) of each level, row by row; true where anchors remain.
        """
        return [
            self._keep(confidence, _inside(confidence[None], [img_meta], stride)).flatten()
            for confidence, stride in zip(confidences, self.prior_generator.strides)
        ]

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        confidences: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, list[Tensor]]:
        """Compute the RPN's losses on the remaining anchors, and the loss of the confidence.

        Args:
            cls_scores: Scores (N, A, H, W) of each level.
            bbox_preds: Box deltas (N, A * 4, H, W) of each level.
            confidences: Confidence (N, 1, H, W) of each level, before the sigmoid.
            batch_gt_instances: ``bboxes`` and ``labels`` of each image.
            batch_img_metas: Meta information of each image.
            batch_gt_instances_ignore: Boxes to ignore.

        Returns:
            dict[str, list[Tensor]]: ``loss_rpn_cls`` and ``loss_rpn_bbox`` of each level, and with
            ``loss_confidence`` a scalar, ``loss_rpn_confidence``.
        """
        sizes = [confidence.shape[-2:] for confidence in confidences]
        anchors, flags = self.get_anchors(sizes, batch_img_metas, confidences[0].device)
        lengths = list(map(len, anchors[0]))
        anchors = list(map(torch.cat, anchors))
        matches, *targets, avg_factors = multi_apply(
            self._match_and_sample,
            anchors,
            list(map(torch.cat, flags)),
            [select_single_mlvl(confidences, i) for i in range(len(anchors))],
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore or [None] * len(anchors),
        )
        loss_cls, loss_bbox = multi_apply(
            self.loss_by_feat_single,
            cls_scores,
            bbox_preds,
            *(images_to_levels(target, lengths) for target in (anchors, *targets)),
            avg_factor=sum(avg_factors),
        )
        losses = {}
        if self.loss_confidence is not None:
            losses['loss_rpn_confidence'] = self._confidence_loss(confidences, matches)
        return dict(losses, loss_rpn_cls=loss_cls, loss_rpn_bbox=loss_bbox)

    @torch.no_grad()
    def _match_and_sample(
        self,
        anchors: Tensor,
        flags: Tensor,
        confidences: list[Tensor],
        gt_instances: InstanceData,
        img_meta: dict,
        ignored: InstanceData | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:
        """Match the n anchors of an image to its lesions, and sample those that are trained on.

        Args:
            anchors: (n, 4) of all levels.
            flags: (n,), true within the image and its padding.
            confidences: Confidence (1, H, W) of each level, before the sigmoid.
            gt_instances: Lesions.
            img_meta: Meta information of the image.
            ignored: Boxes to ignore.

        Returns:
            tuple: The number (n,) of the lesion, from 1 on, that an anchor matches, truncated or
            not, 0 of background, -1 of an anchor that is neither; labels (n,) and their weights;
            box targets (n, 4) and their weights; the number of sampled anchors.
        """
        border = self.train_cfg['allowed_border']
        inside = anchor_inside_flags(anchors, flags, img_meta['img_shape'][:2], border)
        # the A anchors of a location follow one another
        kept = torch.cat(self.keep_locations(confidences, img_meta))
        kept = kept.repeat_interleave(self.num_base_priors)
        assigned = self.assigner.assign(InstanceData(priors=anchors[inside]), gt_instances, ignored)
        matches = torch.full_like(inside, -1, dtype=torch.long)
        matches[inside] = assigned.gt_inds
        if self.truncate_positives:  # the best anchor that is left may become a lesion's
            trained = inside & kept
            priors = InstanceData(priors=anchors[trained])
            assigned = self.assigner.assign(priors, gt_instances, ignored)
        else:
            trained = inside & (kept | (matches > 0))
            priors = InstanceData(priors=anchors[trained])
            chosen = trained[inside]
            assigned = AssignResult(
                assigned.num_gts,
                assigned.gt_inds[chosen],
                assigned.max_overlaps[chosen],
                assigned.labels[chosen],
            )
        sample = self.sampler.sample(assigned, priors, gt_instances)
        index = trained.nonzero().squeeze(1)
        return matches, *self._targets(anchors, index, sample), sample.avg_factor

    def _targets(
        self, anchors: Tensor, index: Tensor, sample: SamplingResult
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return labels (n,), their weights, box targets (n, 4) and their weights of n anchors.

        Args:
            anchors: (n, 4).
            index: Which of them ``sample`` was drawn from.
            sample: Sampled anchors; all others have weights of 0.
        """
        positive, negative = index[sample.pos_inds], index[sample.neg_inds]
        labels = anchors.new_full((len(anchors),), self.num_classes, dtype=torch.long)
        labels[positive] = sample.pos_gt_labels
        label_weights = anchors.new_zeros(len(anchors))
        pos_weight = self.train_cfg['pos_weight']
        label_weights[positive] = pos_weight if pos_weight > 0 else 1.0
        label_weights[negative] = 1.0
        found = sample.pos_gt_bboxes
        if not self.reg_decoded_bbox:
            found = self.bbox_coder.encode(sample.pos_priors, found)
        boxes = anchors.new_zeros(len(anchors), found.size(-1))
        boxes[positive] = found
        box_weights = torch.zeros_like(boxes)
        box_weights[positive] = 1.0
        return labels, label_weights, boxes, box_weights

    def _confidence_loss(self, confidences: list[Tensor], matches: list[Tensor]) -> Tensor:
        """Compute the loss of p, half on locations with a positive anchor, half on negative ones.

        A location is negative if none of its anchors is positive and one is background. Both halves
        are taken over the batch; without a lesion in it, that of the negative ones remains.
        """
        assert self.loss_confidence is not None  # or there is none to compute
        # (N, L, A): the A anchors of each of the L locations of all levels
        of_location = torch.stack(matches).unflatten(1, (-1, self.num_base_priors))
        positive = (of_location > 0).any(-1).flatten()
        negative = (of_location == 0).any(-1).flatten() & ~positive
        weight = 0.5 * (_mean_weights(positive) + _mean_weights(negative))
        logits = torch.cat([confidence.flatten(1) for confidence in confidences], 1)  # (N, L)
        target = (~positive).long()  # 0 is the lesion, as in the RPN
        return self.loss_confidence(logits.reshape(-1, 1), target, weight, avg_factor=1)

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: ConfigDict,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceData:
        """Propose boxes in one image from the locations that are not truncated.

        Arguments and result are those of :class:`mmdet.models.RPNHead`; ``score_factor_list`` is
        the confidence (1, H, W) of each level, before the sigmoid.
        """
        scores, deltas, priors = multi_apply(
            self._select,
            self.keep_locations(score_factor_list, img_meta),
            cls_score_list,
            bbox_pred_list,
            mlvl_priors,
        )
        return super()._predict_by_feat_single(
            scores, deltas, score_factor_list, priors, img_meta, cfg, rescale, with_nms
        )

    def _select(
        self, keep: Tensor, cls_score: Tensor, bbox_pred: Tensor, priors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a level's K kept locations as a map of one row: scores, deltas, priors."""
        index = keep.nonzero().squeeze(1)
        num_priors = self.num_base_priors
        if index.numel() * num_priors == 1:
            index = index.repeat(2)  # RPNHead cannot hold a lone score; NMS drops the copy
        # the anchors of location i have the numbers i * A to i * A + A - 1
        anchors = index[:, None] * num_priors + torch.arange(num_priors, device=index.device)
        return (
            cls_score.flatten(1)[:, None, index],
            bbox_pred.flatten(1)[:, None, index],
            priors[anchors.flatten()],
        )


def _inside(level: Tensor, img_metas: list[dict] | None, stride: tuple[int, int]) -> Tensor:
    """Return a map (N, 1, H, W) of a level (N, C, H, W): 1 in its images and 0 in what pads them.

    Images lie in the upper left. Without ``img_metas`` they fill the level.
    """
    if img_metas is None:
        return torch.ones_like(level[:, :1])
    inside = torch.zeros_like(level[:, :1])
    for image, meta in zip(inside, img_metas):
        height, width = meta['img_shape'][:2]
        image[:, : math.ceil(height / stride[1]), : math.ceil(width / stride[0])] = 1
    return inside


def _mean(p: Tensor, inside: Tensor) -> Tensor:
    """Return the mean of p (..., H, W) inside of each image."""
    sums = (p * inside).sum((-2, -1), keepdim=True)
    return sums / inside.sum((-2, -1), keepdim=True, dtype=p.dtype)


def _mean_weights(chosen: Tensor) -> Tensor:
    """Return weights that sum to the mean over the selected, or 0 if there are none."""
    return chosen.float() / chosen.sum().clamp(min=1)
