import math

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmdet.models.utils import select_single_mlvl
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

from mmlesion.utils import UserError


@MODELS.register_module()
class TruncatedRPNHead(RPNHead):
    """RPN that proposes only where a learned confidence map says that a lesion may be.

    TruncatedRPN of ElixirNet, sections "TruncatedRPN" and "Implementation Details". On each feature
    level I a 1x1 convolution and a sigmoid, shared by the levels as the rest of an RPN is, give a
    confidence map p. p * I takes the place of I in the RPN, and a location whose p does not exceed
    the threshold is truncated: it has no anchors, neither when targets are assigned in training nor
    among the proposals.

    In the paper the confidence has no loss of its own: it learns through p * I alone. Nothing then
    keeps it from falling where features are strong, lesions included, which makes an anchor's
    negative score cheap; a truncated lesion has no positive anchors left to raise it again. With
    ``loss_confidence`` it also learns which locations have an anchor that matches a lesion, from
    anchors that are assigned and sampled as the RPN's are, the truncated ones among them.

    The mean of a map is taken over the image itself, not over what pads it to its batch's size.

    Args:
        in_channels (int): Channels of the feature maps.
        threshold (str | float): ``'mean'``, the mean of p for each image and level, or a number
            that p must exceed. Defaults to ``'mean'``.
        loss_confidence (dict, optional): Loss of the confidence. Defaults to None, as in the paper.
        anchor_generator (dict): Defaults to the paper's five scales and three ratios.
        **kwargs: The other arguments of :class:`mmdet.models.RPNHead`, which refuses unknown ones.

    Raises:
        UserError: If ``threshold`` is neither ``'mean'`` nor a number.
    """

    def __init__(
        self,
        in_channels,
        threshold='mean',
        loss_confidence=None,
        anchor_generator=dict(  # noqa: B006 (a config, which is not changed)
            type='AnchorGenerator',
            scales=[2, 3, 4, 6, 12],
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64],
        ),
        **kwargs,
    ):
        if threshold != 'mean' and not isinstance(threshold, (int, float)):
            raise UserError(f"threshold must be 'mean' or a number, not {threshold!r}")
        self.threshold = threshold
        super().__init__(in_channels=in_channels, anchor_generator=anchor_generator, **kwargs)
        self.loss_confidence = loss_confidence and MODELS.build(loss_confidence)

    def _init_layers(self):
        super()._init_layers()
        self.rpn_confidence = nn.Conv2d(self.in_channels, 1, 1)

    def forward_single(self, x):
        """Predict on one feature level.

        Args:
            x (Tensor): Features (N, C, H, W).

        Returns:
            tuple[Tensor]: Scores (N, A, H, W) and box deltas (N, A * 4, H, W) of the A anchors of
            every location, and the confidence (N, 1, H, W) of the location, before the sigmoid.
        """
        confidence = self.rpn_confidence(x)
        return *super().forward_single(confidence.sigmoid() * x), confidence

    @torch.no_grad()
    def keep_locations(self, confidences, img_meta):
        """Find the locations of an image that are not truncated.

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
            threshold = inside.mean() if self.threshold == 'mean' else self.threshold
            keep = torch.zeros_like(p, dtype=torch.bool)
            keep[:rows, :columns] = inside > threshold
            keeps.append(keep.flatten())
        return keeps

    def loss_by_feat(
        self,
        cls_scores,
        bbox_preds,
        confidences,
        batch_gt_instances,
        batch_img_metas,
        batch_gt_instances_ignore=None,
    ):
        """Compute the RPN's losses on the anchors that remain.

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
        # get_anchors sees the image's meta information and nothing else of the image.
        metas = [
            dict(meta, kept_locations=self.keep_locations(select_single_mlvl(confidences, i), meta))
            for i, meta in enumerate(batch_img_metas)
        ]
        truth = batch_gt_instances, metas, batch_gt_instances_ignore
        losses = {}
        if self.loss_confidence is not None:
            losses['loss_rpn_confidence'] = self._confidence_loss(confidences, *truth)
        return {**losses, **super().loss_by_feat(cls_scores, bbox_preds, *truth)}

    def _confidence_loss(self, confidences, batch_gt_instances, batch_img_metas, ignore):
        """Loss of the locations of which an anchor, truncated or not, is sampled.

        A location is positive where one of its sampled anchors is.
        """
        sizes = [confidence.shape[-2:] for confidence in confidences]
        anchors, flags = super().get_anchors(sizes, batch_img_metas, confidences[0].device)
        labels, weights, *_ = self.get_targets(
            anchors, flags, batch_gt_instances, batch_img_metas, ignore
        )
        per_location = (-1, self.num_base_priors)
        sampled = torch.cat(weights, 1).unflatten(1, per_location) > 0
        background = torch.cat(labels, 1).unflatten(1, per_location) > 0
        target = (background | ~sampled).all(-1).long().flatten()  # 0 is the lesion, as in the RPN
        weight = sampled.any(-1).float().flatten()
        logits = torch.cat([confidence.flatten(1) for confidence in confidences], 1)
        return self.loss_confidence(
            logits.reshape(-1, 1), target, weight, avg_factor=weight.sum().clamp(min=1)
        )

    def get_anchors(self, featmap_sizes, batch_img_metas, device='cuda'):
        """Generate anchors, those of truncated locations flagged as not valid.

        Args:
            featmap_sizes (list[tuple]): Size (H, W) of each level.
            batch_img_metas (list[dict]): Meta information of each image with ``kept_locations``.
            device (torch.device | str): Device of the anchors.

        Returns:
            tuple: Anchors (H * W * A, 4) and flags (H * W * A,), for each image and level.
        """
        anchors, flags = super().get_anchors(featmap_sizes, batch_img_metas, device)
        flags = [
            [
                flag & keep.repeat_interleave(self.num_base_priors)
                for flag, keep in zip(level_flags, meta['kept_locations'])
            ]
            for level_flags, meta in zip(flags, batch_img_metas)
        ]
        return anchors, flags

    def _get_targets_single(
        self,
        flat_anchors,
        valid_flags,
        gt_instances,
        img_meta,
        gt_instances_ignore=None,
        unmap_outputs=True,
    ):
        """Assign targets in one image, none at all where all its locations are truncated."""
        inside_flags = anchor_inside_flags(
            flat_anchors, valid_flags, img_meta['img_shape'][:2], self.train_cfg['allowed_border']
        )
        if not inside_flags.any():
            return self._empty_targets(flat_anchors, gt_instances)
        return super()._get_targets_single(
            flat_anchors, valid_flags, gt_instances, img_meta, gt_instances_ignore, unmap_outputs
        )

    def _empty_targets(self, flat_anchors, gt_instances):
        """Targets of an image without anchors: every weight is zero, so is every gradient."""
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
        cls_score_list,
        bbox_pred_list,
        score_factor_list,
        mlvl_priors,
        img_meta,
        cfg,
        rescale=False,
        with_nms=True,
    ):
        """Propose boxes in one image from what is left when truncated locations are taken out.

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

    def _select(self, keep, cls_score, bbox_pred, priors):
        """Take the K kept locations out of one level, as a feature map of one row.

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
