"""The detection head of LENS with an expert per dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules import SamplingResult
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig, reduce_mean
from mmengine.model import ModuleDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmlesion.models.utils import batch_dataset
from mmlesion.utils import UserError


class ExpertOutput(NamedTuple):
    """The predictions of an expert for the n proposals of an image.

    Args:
        boxes: (n, classes * 4) x1, y1, x2, y2, px.
        scores: (n, classes + 1) probabilities, the background's last.
    """

    boxes: Tensor
    scores: Tensor


@MODELS.register_module()
class LENSRoIHead(StandardRoIHead):
    """Detection head of LENS: shared layers, then an expert per dataset (section Lesion Ensemble).

    An expert is a classification and a box regression layer for lesions as annotated in its
    dataset. Only the expert of the batch's dataset is trained. In inference the experts' detections
    are pooled and merged by NMS.

    Args:
        datasets: Names of the datasets, one expert each.
        bbox_roi_extractor: As in mmdet.
        bbox_head: Config of an expert, mmdet's ``BBoxHead``, on the features of
            ``shared_head``.
        shared_head: Encoder of regions that the experts share. Defaults to ``FCEncoder``,
            two fully connected layers.
        train_cfg: ``assigner`` and ``sampler`` as in mmdet.
        test_cfg: ``score_thr``, ``nms`` and ``max_per_img`` as in mmdet;
            ``experts``, the names of those whose detections are pooled, by default all; and
            ``keep_experts``, whether every expert's own detections, each after NMS among its own,
            are put into each sample as ``expert_instances`` as well, by default not.
        init_cfg: Initialization config.

    Raises:
        UserError: If ``experts`` names an unknown dataset or none.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        bbox_roi_extractor: ConfigType,
        bbox_head: ConfigType,
        shared_head: ConfigType = dict(type='FCEncoder', in_channels=512),
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        self.datasets = tuple(datasets)
        super().__init__(
            bbox_roi_extractor=bbox_roi_extractor,
            bbox_head=bbox_head,
            shared_head=shared_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        self._check_experts()

    def init_bbox_head(self, bbox_roi_extractor: ConfigType, bbox_head: ConfigType) -> None:
        """Build the extractor of regions and the experts."""
        self.bbox_roi_extractor = MODELS.build(bbox_roi_extractor)
        self.bbox_head = ModuleDict({name: MODELS.build(bbox_head) for name in self.datasets})

    def _check_experts(self) -> None:
        experts = (self.test_cfg or {}).get('experts')
        if experts is not None and not (experts and set(experts) <= set(self.datasets)):
            raise UserError(
                f'test_cfg.rcnn.experts={list(experts)}: name some of the datasets '
                f'{", ".join(self.datasets)}, or leave it out to pool all of them'
            )

    @property
    def pooled_experts(self) -> list[str]:
        """list[str]: Names of the experts whose detections are pooled."""
        experts = self.test_cfg.get('experts') or self.datasets
        return [name for name in self.datasets if name in experts]

    def _bbox_forward(
        self, x: tuple[Tensor, ...], rois: Tensor, experts: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Run shared layers and experts.

        Args:
            x: Feature maps (B, C, H, W) of each level.
            rois: Regions (n, 5): the image's index and x1, y1, x2, y2 in px.
            experts: Which experts. Defaults to all.

        Returns:
            dict[str, Tensor]: ``cls_score`` (E, n, classes + 1), ``bbox_pred`` (E, n, classes * 4)
            and ``bbox_feats`` (n, C), the shared features.
        """
        features = self.bbox_roi_extractor(x[: self.bbox_roi_extractor.num_inputs], rois)
        # images without a region count 0, as the layers split regions by image
        num_regions = torch.bincount(rois[:, 0].long(), minlength=len(x[0])).tolist()
        features, _ = self.shared_head(features, num_regions)
        scores, deltas = [], []
        for name in experts or self.datasets:
            expert_scores, expert_deltas = self.bbox_head[name](features)
            scores.append(expert_scores)
            deltas.append(expert_deltas)
        return dict(
            cls_score=torch.stack(scores), bbox_pred=torch.stack(deltas), bbox_feats=features
        )

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: list[DetDataSample],
    ) -> dict[str, Tensor]:
        """Compute the losses of the expert of the batch's dataset.

        Args:
            x: Feature maps (N, C, H, W) of each level.
            rpn_results_list: Proposals of each image.
            batch_data_samples: With ``dataset_name`` in the meta information.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``acc`` and ``loss_bbox``.

        Raises:
            UserError: If the samples are not all from one known dataset.
        """
        expert = batch_dataset(batch_data_samples, self.datasets)
        truths, ignored, _ = unpack_gt_instances(batch_data_samples)
        sampled = list(map(self._sample, rpn_results_list, truths, ignored))
        rois = bbox2roi([result.priors for result in sampled])
        outputs = self._bbox_forward(x, rois, [expert])
        losses = self.bbox_head[expert].loss_and_target(
            outputs['cls_score'][0], outputs['bbox_pred'][0], rois, sampled, self.train_cfg
        )['loss_bbox']
        # mmdet divides by the number of this process's regions: make it that of all processes
        share = len(rois) / reduce_mean(rois.new_tensor(len(rois))).clamp(min=1)
        for name in losses:
            if 'loss' in name:  # and not the accuracy
                losses[name] = losses[name] * share
        return losses

    def _sample(
        self,
        proposals: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None,
    ) -> SamplingResult:
        proposals = InstanceData(priors=proposals.bboxes)
        assigned = self.bbox_assigner.assign(proposals, gt_instances, gt_instances_ignore)
        return self.bbox_sampler.sample(assigned, proposals, gt_instances)

    def predict(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: list[DetDataSample],
        rescale: bool = False,
    ) -> InstanceList:
        """Detect lesions.

        Args:
            x: Feature maps (N, C, H, W) of each level.
            rpn_results_list: Proposals of each image.
            batch_data_samples: With metainfo; ``expert_instances`` are added
                to each if ``keep_experts``.
            rescale: Whether to return boxes of the original image. Defaults to False.

        Returns:
            list[InstanceData]: ``bboxes`` (n, 4), ``scores``, ``labels`` and ``expert`` (n,), the
            index of the detection's expert among ``datasets``, of the pooled detections, the
            highest score first.
        """
        keep = self.test_cfg.get('keep_experts', False)
        experts = list(self.datasets) if keep else self.pooled_experts
        metas = [sample.metainfo for sample in batch_data_samples]
        outputs = self._expert_outputs(x, rpn_results_list, metas, rescale, experts)
        results = []
        for sample, output in zip(batch_data_samples, outputs):
            # each expert's own detections, which mining needs, beside what all find together
            if keep:
                own = [self._merge({name: output[name]}) for name in experts]
                sample.expert_instances = InstanceData.cat(own)
            results.append(self._merge({name: output[name] for name in self.pooled_experts}))
        return results

    def _expert_outputs(
        self,
        x: tuple[Tensor, ...],
        proposals: InstanceList,
        metas: list[dict],
        rescale: bool,
        experts: Sequence[str],
    ) -> list[dict[str, ExpertOutput]]:
        """Return the :class:`ExpertOutput` of each image, by name of the expert."""
        rois = bbox2roi([image.bboxes for image in proposals])
        outputs = self._bbox_forward(x, rois, experts)
        # the regions of all images lie in one row, image after image: take each image's own
        numbers = list(map(len, proposals))
        image_rois = rois.split(numbers)
        image_scores = outputs['cls_score'].split(numbers, dim=1)
        image_deltas = outputs['bbox_pred'].split(numbers, dim=1)
        results = []
        for i, meta in enumerate(metas):
            by_expert = {}
            for expert, scores, deltas in zip(experts, image_scores[i], image_deltas[i]):
                by_expert[expert] = self._decode(
                    expert, image_rois[i], scores, deltas, meta, rescale
                )
            results.append(by_expert)
        return results

    def _decode(
        self, expert: str, rois: Tensor, scores: Tensor, deltas: Tensor, meta: dict, rescale: bool
    ) -> ExpertOutput:
        """Decode the boxes of one image's regions by an expert; no threshold, no NMS."""
        head = self.bbox_head[expert]
        # without settings mmdet's head decodes, and leaves scores and NMS alone
        raw = head.predict_by_feat([rois], [scores], [deltas], [meta], None, rescale)[0]
        return ExpertOutput(raw.bboxes, raw.scores)

    def _merge(self, outputs: Mapping[str, ExpertOutput]) -> InstanceData:
        """Merge the outputs of experts, by name, with a single NMS."""
        # all regions of the first expert, then all of the second, and so on
        boxes = torch.cat([output.boxes for output in outputs.values()])
        scores = torch.cat([output.scores for output in outputs.values()])
        cfg = self.test_cfg
        detections, labels, kept = multiclass_nms(
            boxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img, return_inds=True
        )
        # `kept` numbers the scores of all experts, region after region and class after class
        indices = [self.datasets.index(name) for name in outputs]
        values_per_expert = (scores.shape[1] - 1) * (len(scores) // len(indices))
        return InstanceData(
            bboxes=detections[:, :4],
            scores=detections[:, 4],
            labels=labels,
            expert=labels.new_tensor(indices)[kept // max(values_per_expert, 1)],
        )
