"""The RoI head of ElixirNet."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from torch import Tensor


@MODELS.register_module()
class RelationRoIHead(StandardRoIHead):
    """RoI head whose box head processes an image's regions jointly, for ``RelationBBoxHead``.

    Its arguments are those of :class:`mmdet.models.StandardRoIHead`.
    """

    def _bbox_forward(self, x: tuple[Tensor, ...], rois: Tensor) -> dict:
        """Run the box head.

        Args:
            x: Feature maps (B, C, H, W) of each level.
            rois: Regions (N, 5), image after image: the image's index in the batch and the
                corners (x1, y1, x2, y2) in px.

        Returns:
            dict: ``cls_score``, ``bbox_pred`` and ``bbox_feats`` as in mmdet, and ``binary_score``
            and ``relations`` of :meth:`RelationBBoxHead.forward`.
        """
        bbox_feats = self.bbox_roi_extractor(x[: self.bbox_roi_extractor.num_inputs], rois)
        if self.with_shared_head:
            bbox_feats = self.shared_head(bbox_feats)
        num_regions = torch.bincount(rois[:, 0].long(), minlength=len(x[0])).tolist()
        outputs = self.bbox_head(bbox_feats, num_regions)
        return dict(outputs._asdict(), bbox_feats=bbox_feats)

    def bbox_loss(self, x: tuple[Tensor, ...], sampling_results: list[SamplingResult]) -> dict:
        """Run the box head on sampled regions and compute its losses, including the binary one.

        Args:
            x: Feature maps (B, C, H, W) of each level.
            sampling_results: Regions of each image.

        Returns:
            dict: The results of the box head and its losses, ``loss_bbox``.
        """
        rois = bbox2roi([result.priors for result in sampling_results])
        results = self._bbox_forward(x, rois)
        losses = self.bbox_head.loss_and_target(
            cls_score=results['cls_score'],
            bbox_pred=results['bbox_pred'],
            rois=rois,
            sampling_results=sampling_results,
            rcnn_train_cfg=self.train_cfg,
            binary_score=results['binary_score'],
        )
        return dict(results, loss_bbox=losses['loss_bbox'])
