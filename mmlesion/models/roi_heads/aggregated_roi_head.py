"""The FPRN branch of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig
from mmengine.structures import InstanceData
from torch import Tensor

from mmlesion.utils import OptionError

SCORES = ('mean', 'rpn', 'fprn')


def _with_level(boxes: Tensor, levels: Tensor) -> Tensor:
    """Return regions (n, 5) z, y, x, diameter, level for the extractor."""
    return torch.cat([boxes, levels[:, None].to(boxes)], 1)


@MODELS.register_module()
class AggregatedRoIHead(StandardRoIHead):
    """False positive reduction of 3D Aggregated Faster R-CNN (section III-C), the FPRN branch.

    It classifies the RPN's proposals again, those of all levels and volumes in one batch. A
    detection's score is the mean of both branches' probabilities.

    Args:
        bbox_roi_extractor: ``DiameterAlignedExtractor``.
        bbox_head: ``AggregatedBBoxHead``; its ``in_channels`` default to the output channels
            of the extractor.
        anchor_generator: That of the RPN; its anchors determine the level of ground truth
            lesions that are added to the proposals. ``AggregatedRCNN3D`` sets it; defaults to the
            paper's for LUNA16.
        score: The probability used as the score: 'mean' of both branches, 'rpn' or 'fprn',
            the columns of the paper's Table III. Defaults to 'mean'.
        train_cfg: ``assigner`` and ``sampler`` of mmdet.
        test_cfg: Not used; proposals are neither added nor moved.
        init_cfg: Initialization config.

    Raises:
        OptionError: If ``score`` is none of these.
    """

    def __init__(
        self,
        bbox_roi_extractor: ConfigType,
        bbox_head: ConfigType,
        anchor_generator: ConfigType = dict(type='SphereAnchorGenerator'),
        score: str = 'mean',
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        if score not in SCORES:
            raise OptionError(f'score must be one of {SCORES}, not {score!r}', self)
        super().__init__(
            bbox_roi_extractor,
            bbox_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        self.score = score
        # (levels, anchors): which level a true lesion, that no level proposed, belongs to
        self.anchor_diameters = TASK_UTILS.build(anchor_generator).diameters

    def init_bbox_head(self, bbox_roi_extractor: ConfigType, bbox_head: ConfigType) -> None:
        """Build the extractor of regions and the head, which takes the extractor's channels."""
        self.bbox_roi_extractor = MODELS.build(bbox_roi_extractor)
        channels = dict(in_channels=self.bbox_roi_extractor.out_channels)
        self.bbox_head = MODELS.build(bbox_head, default_args=channels)

    def reference_levels(self, diameters: Tensor) -> Tensor:
        """Return the level with the anchor nearest to each diameter, by their ratio.

        Args:
            diameters: (n,), voxels.

        Returns:
            Tensor: Indices (n,) of the levels.
        """
        distances = []
        for anchors in self.anchor_diameters:
            ratios = diameters[:, None] / diameters.new_tensor(anchors)  # (n, anchors of the level)
            distances.append(ratios.log().abs().amin(1))
        # (levels, n): a factor of two is as far as one of a half
        return torch.stack(distances).argmin(0)

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: list[DetDataSample],
    ) -> dict[str, Tensor]:
        """Compute the loss of sampled proposals.

        Args:
            x: Levels (N, C, D, H, W) of the pyramid.
            rpn_results_list: ``bboxes`` (n, 4) and ``level`` (n,) of each
                volume's proposals.
            batch_data_samples: With ``gt_instances``.

        Returns:
            dict[str, Tensor]: ``loss_cls``.
        """
        truths, ignored, _ = unpack_gt_instances(batch_data_samples)
        regions, labels = zip(*map(self._sample, rpn_results_list, truths, ignored))
        rois = bbox2roi(regions)
        if not len(rois):
            # batch normalization has no mean of nothing; every parameter still has a gradient
            return dict(loss_cls=0 * sum(parameter.sum() for parameter in self.parameters()))
        scores = self._bbox_forward(x, rois)['cls_score']
        return dict(loss_cls=self.bbox_head.loss(scores, torch.cat(labels)))

    def _sample(
        self,
        proposals: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None,
    ) -> tuple[Tensor, Tensor]:
        """Sample one volume's regions (n, 5), spheres and levels, and their labels (n,)."""
        proposals = InstanceData(priors=proposals.bboxes, level=proposals.level)
        assigned = self.bbox_assigner.assign(proposals, gt_instances, gt_instances_ignore)
        result = self.bbox_sampler.sample(assigned, proposals, gt_instances)
        # a sampler may have put the true lesions before the proposals
        num_added = len(assigned.gt_inds) - len(proposals)
        added = self.reference_levels(gt_instances.bboxes[:num_added, 3])
        # in the order of result.priors: positives, which are class 0, then negatives, class 1
        levels = torch.cat([added, proposals.level])[torch.cat([result.pos_inds, result.neg_inds])]
        labels = torch.ones_like(levels)
        labels[: len(result.pos_inds)] = 0
        return _with_level(result.priors, levels), labels

    def forward(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: list[DetDataSample] | None = None,
    ) -> Tensor:
        """Score proposals.

        Args:
            x: Levels (N, C, D, H, W) of the pyramid.
            rpn_results_list: ``bboxes`` (n, 4) and ``level`` (n,) of each
                volume's proposals.
            batch_data_samples: Not used.

        Returns:
            Tensor: Scores (n,) of all volumes' proposals before the sigmoid.
        """
        rois = bbox2roi([_with_level(one.bboxes, one.level) for one in rpn_results_list])
        return self._bbox_forward(x, rois)['cls_score'].squeeze(1) if len(rois) else rois[:, 0]

    def predict_bbox(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        rpn_results_list: InstanceList,
        rcnn_test_cfg: OptConfigType = None,
        rescale: bool = False,
    ) -> InstanceList:
        """Score proposals with both branches.

        Args:
            x: Levels (N, C, D, H, W) of the pyramid.
            batch_img_metas: Not used.
            rpn_results_list: Each volume's proposals.
            rcnn_test_cfg: Not used.
            rescale: Not used; volumes are not resized on their way.

        Returns:
            list[InstanceData]: The proposals, highest ``scores`` first, with ``rpn_scores`` and
            ``fprn_scores``, the probabilities (n,) of either branch.
        """
        # One batch of all volumes' proposals, whose scores are split by volume again.
        numbers = list(map(len, rpn_results_list))
        fprn_scores = self(x, rpn_results_list).float().sigmoid().split(numbers)
        return list(map(self._scored, rpn_results_list, fprn_scores))

    def _scored(self, proposals: InstanceData, fprn_scores: Tensor) -> InstanceData:
        # Both are probabilities, so that their mean is one.
        rpn_scores = proposals.scores
        mean = (rpn_scores + fprn_scores) / 2
        scores = dict(mean=mean, rpn=rpn_scores, fprn=fprn_scores)[self.score]
        results = InstanceData(
            bboxes=proposals.bboxes,
            labels=proposals.labels,
            level=proposals.level,
            scores=scores,
            rpn_scores=rpn_scores,
            fprn_scores=fprn_scores,
        )
        return results[scores.argsort(descending=True)]
