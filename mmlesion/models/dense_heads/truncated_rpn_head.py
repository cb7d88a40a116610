"""TruncatedRPN of ElixirNet."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmdet.models.utils import select_single_mlvl
from mmdet.registry import MODELS
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
    ``normalize_confidence=False, truncate_positives=True, loss_confidence=None`` the head is the
    paper's.

    The threshold's mean is taken over the image itself, not over what pads it to its batch's size.

    Args:
        in_channels (int): Channels of the feature maps.
        threshold (str | float): ``'mean'``, the mean of p for each image and level, or a number
            that p must exceed. Defaults to ``'mean'``.
        normalize_confidence (bool): Whether the features are scaled by p over its mean on the whole
            map (a constant for the gradient), so that they keep their magnitude, instead of by p
            itself. Defaults to True; the paper's is False.
        truncate_positives (bool): Whether training also truncates anchors that match a lesion,
            instead of only negatives. Defaults to False; the paper's is True.
        loss_confidence (dict, optional): Loss that trains p on which locations have an anchor that
            matches a lesion, truncated or not: half of its weight is assigned to these, half to the
            others. Defaults to binary cross-entropy; the paper's is None.
        anchor_generator (dict): Defaults to the paper's five scales and three ratios. **kwargs: The
        other arguments of :class:`mmdet.models.RPNHead`, which rejects unknown ones.

    Raises:
        UserError: If ``threshold`` is neither ``'mean'`` nor a number.
    """

    def __init__(
        self,
        in_channels: int,
        threshold: str | float = 'mean',
        normalize_confidence: bool = True,
        truncate_positives: bool = False,
        loss_confidence: dict | None = dict(type='CrossEntropyLoss', use_sigmoid=True),
        anchor_generator: dict = dict(
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
        self.truncate_positives = truncate_positives
        super().__init__(in_channels=in_channels, anchor_generator=anchor_generator, **kwargs)
        self.loss_confidence = MODELS.build(loss_confidence) if loss_confidence else None

    def _init_layers(self) -> None:
        super()._init_layers()
        self.rpn_confidence = nn.Conv2d(self.in_channels, 1, 1)

    def forward_single(self, x: Tensor) -> tuple[Tensor, ...]:
        """Predict on one feature level.

        Args:
            x (Tensor): Features (N, C, H, W).

        Returns:
            tuple[Tensor]: Scores (N, A, H, W) and box deltas (N, A * 4, H, W) of the A anchors of
            every location, and the confidence (N, 1, H, W) of the location, before the sigmoid.
        """
        confidence = self.rpn_confidence(x)
        return *super().forward_single(self._feature_scale(confidence) * x), confidence

    def _feature_scale(self, confidence: Tensor) -> Tensor:
        """Return the factor for a level's features: p (N, 1, H, W), or p over its mean per map."""
        p = confidence.sigmoid()
        if not self.normalize_confidence:
            return p
        p = p.float()  # in half precision the mean would be rounded
        mean = p.detach().mean((2, 3), keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
        return (p / mean).to(confidence.dtype)

    @torch.no_grad()
    def keep_locations(self, confidences: list[Tensor], img_meta: dict) -> list[Tensor]:
        """Return the locations of an image that are not truncated.

        Args:
            confidences (list[Tensor]): Confidence (1, H, W) of each level, before the sigmoid.
            img_meta (dict): ``pad_shape`` of the image, or else ``img_shape``, in px.

        Returns:
            list[Tensor]: Mask (H * W,) of each level, row by row; true where anchors remain.
        """
        height, width = img_meta.get('pad_shape', img_meta['img_shape'])[:2]
        keeps = []
        for confidence, (stride_x, stride_y) in zip(confidences, self.prior_generator.strides):
            p = confidence[0].float().sigmoid()  # in half precision the mean would be rounded
            rows, columns = math.ceil(height / stride_y), math.ceil(width / stride_x)
            inside = p[:rows, :columns]
            threshold = inside.mean() if self.threshold == 'mean' else float(self.threshold)
            keep = torch.zeros_like(p, dtype=torch.bool)
            keep[:rows, :columns] = inside > threshold
            keeps.append(keep.flatten())
        return keeps

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        confidences: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Compute the RPN's losses on the remaining anchors, and the loss of the confidence.

        Args:
            cls_scores (list[Tensor]): Scores (N, A, H, W) of each level.
            bbox_preds (list[Tensor]): Box deltas (N, A * 4, H, W) of each level.
            confidences (list[Tensor]): Confidence (N, 1, H, W) of each level, before the sigmoid.
            batch_gt_instances (list[InstanceData]): ``bboxes`` and ``labels`` of each image.
            batch_img_metas (list[dict]): Meta information of each image.
            batch_gt_instances_ignore (list[InstanceData], optional): Boxes to ignore.

        Returns:
            dict[str, list[Tensor]]: ``loss_rpn_cls`` and ``loss_rpn_bbox`` of each level, and with
            ``loss_confidence`` a scalar, ``loss_rpn_confidence``.
        """
        truth = batch_gt_instances, batch_gt_instances_ignore
        matches = self._match_anchors(confidences, batch_img_metas, *truth)
        # get_anchors sees the image's meta information and nothing else of the image.
        metas = [
            dict(meta, kept_anchors=self._keep_anchors(select_single_mlvl(confidences, i), meta, m))
            for i, (meta, m) in enumerate(zip(batch_img_metas, matches))
        ]
        losses = {}
        if self.loss_confidence is not None:
            losses['loss_rpn_confidence'] = self._confidence_loss(confidences, matches)
        rpn_losses = super().loss_by_feat(
            cls_scores, bbox_preds, batch_gt_instances, metas, batch_gt_instances_ignore
        )
        return {**losses, **rpn_losses}

    @torch.no_grad()
    def _match_anchors(
        self,
        confidences: list[Tensor],
        batch_img_metas: list[dict],
        batch_gt_instances: list[InstanceData],
        ignore: list[InstanceData] | None,
    ) -> list[Tensor]:
        """Match all anchors of each image, including truncated ones, to its lesions.

        Returns:
            list[Tensor]: Of each image (num_anchors,): the number of the lesion, from 1 on, that an
            anchor matches, 0 of background, -1 of an anchor that is neither.
        """
        sizes = [confidence.shape[-2:] for confidence in confidences]
        anchors, flags = super().get_anchors(sizes, batch_img_metas, confidences[0].device)
        ignore = ignore or [None] * len(batch_img_metas)
        images = zip(anchors, flags, batch_img_metas, batch_gt_instances, ignore)
        return [
            self._match_in_image(torch.cat(level_anchors), torch.cat(level_flags), *image)
            for level_anchors, level_flags, *image in images
        ]

    def _match_in_image(
        self,
        anchors: Tensor,
        flags: Tensor,
        img_meta: dict,
        gt_instances: InstanceData,
        ignored: InstanceData | None,
    ) -> Tensor:
        inside = self._inside(anchors, flags, img_meta)
        priors = InstanceData(priors=anchors[inside])
        matches = torch.full_like(inside, -1, dtype=torch.long)
        matches[inside] = self.assigner.assign(priors, gt_instances, ignored).gt_inds
        return matches

    def _inside(self, anchors: Tensor, flags: Tensor, img_meta: dict) -> Tensor:
        border = self.train_cfg['allowed_border']
        return anchor_inside_flags(anchors, flags, img_meta['img_shape'][:2], border)

    def _keep_anchors(
        self, confidences: list[Tensor], img_meta: dict, matches: Tensor
    ) -> list[Tensor]:
        """Select the training anchors of an image, as masks (H * W * A,) of the levels."""
        keeps = [
            keep.repeat_interleave(self.num_base_priors)
            for keep in self.keep_locations(confidences, img_meta)
        ]
        if self.truncate_positives:
            return keeps
        positives = (matches > 0).split([len(keep) for keep in keeps])
        return [keep | positive for keep, positive in zip(keeps, positives)]

    def _confidence_loss(self, confidences: list[Tensor], matches: list[Tensor]) -> Tensor:
        """Compute the loss of p, half on locations with a positive anchor, half on negative ones.

        A location is negative if none of its anchors is positive and one is background. Both halves
        are taken over the batch; without a lesion in it, that of the negative ones remains.
        """
        assert self.loss_confidence is not None  # or there is none to compute
        of_location = torch.stack(matches).unflatten(1, (-1, self.num_base_priors))
        positive = (of_location > 0).any(-1).flatten()
        negative = (of_location == 0).any(-1).flatten() & ~positive
        weight = 0.5 * (_mean_weights(positive) + _mean_weights(negative))
        logits = torch.cat([confidence.flatten(1) for confidence in confidences], 1)
        target = (~positive).long()  # 0 is the lesion, as in the RPN
        return self.loss_confidence(logits.reshape(-1, 1), target, weight, avg_factor=1)

    def get_anchors(
        self,
        featmap_sizes: list[tuple],
        batch_img_metas: list[dict],
        device: torch.device | str = 'cuda',
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Generate anchors, with truncated ones flagged as invalid.

        Args:
            featmap_sizes (list[tuple]): Size (H, W) of each level.
            batch_img_metas (list[dict]): Meta information of each image with ``kept_anchors``.
            device (torch.device | str): Device of the anchors.

        Returns:
            tuple: Anchors (H * W * A, 4) and flags (H * W * A,), for each image and level.
        """
        anchors, flags = super().get_anchors(featmap_sizes, batch_img_metas, device)
        kept_flags = []
        for level_flags, meta in zip(flags, batch_img_metas):
            levels = zip(level_flags, meta['kept_anchors'])
            kept_flags.append([valid & keep for valid, keep in levels])
        return anchors, kept_flags

    def _get_targets_single(
        self,
        flat_anchors: Tensor,
        valid_flags: Tensor,
        gt_instances: InstanceData,
        img_meta: dict,
        gt_instances_ignore: InstanceData | None = None,
        unmap_outputs: bool = True,
    ) -> tuple:
        """Assign targets in one image; there are none if all its anchors are truncated."""
        if not self._inside(flat_anchors, valid_flags, img_meta).any():
            return self._empty_targets(flat_anchors, gt_instances)
        return super()._get_targets_single(
            flat_anchors, valid_flags, gt_instances, img_meta, gt_instances_ignore, unmap_outputs
        )

    def _empty_targets(self, flat_anchors: Tensor, gt_instances: InstanceData) -> tuple:
        """Return targets of an image without anchors, with zero weights and thus zero gradients."""
        num_anchors = flat_anchors.shape[0]
        none = InstanceData(priors=flat_anchors[:0])
        assignment = self.assigner.assign(none, gt_instances)
        sampling = self.sampler.sample(assignment, none, gt_instances)
        labels = flat_anchors.new_full((num_anchors,), self.num_classes, dtype=torch.long)
        label_weights = flat_anchors.new_zeros(num_anchors)
        box_dim = gt_instances.bboxes.size(-1)
        box_dim = box_dim if self.reg_decoded_bbox else self.bbox_coder.encode_size
        boxes = flat_anchors.new_zeros(num_anchors, box_dim)
        inds = sampling.pos_inds, sampling.neg_inds
        return labels, label_weights, boxes, torch.zeros_like(boxes), *inds, sampling

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
        kept = [
            self._select(keep, *level)
            for keep, *level in zip(
                self.keep_locations(score_factor_list, img_meta),
                cls_score_list,
                bbox_pred_list,
                mlvl_priors,
            )
        ]
        cls_score_list, bbox_pred_list, mlvl_priors = map(list, zip(*kept))
        return super()._predict_by_feat_single(
            cls_score_list,
            bbox_pred_list,
            score_factor_list,
            mlvl_priors,
            img_meta,
            cfg,
            rescale,
            with_nms,
        )

    def _select(
        self, keep: Tensor, cls_score: Tensor, bbox_pred: Tensor, priors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Extract the K kept locations of one level as a feature map with one row.

        Returns:
            tuple: Scores (A, 1, K), deltas (A * 4, 1, K) and priors (K * A, 4).
        """
        index = keep.nonzero().squeeze(1)
        num_priors = self.num_base_priors
        if index.numel() * num_priors == 1:
            index = index.repeat(2)  # RPNHead cannot hold a lone score; NMS drops the copy
        anchors = index[:, None] * num_priors + torch.arange(num_priors, device=index.device)
        return (
            cls_score.flatten(1)[:, None, index],
            bbox_pred.flatten(1)[:, None, index],
            priors[anchors.flatten()],
        )


def _mean_weights(chosen: Tensor) -> Tensor:
    """Return weights that sum to the mean over the selected, or 0 if there are none."""
    return chosen.float() / chosen.sum().clamp(min=1)
