"""The RPN of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmlesion.utils import OptionError

from ..layers import DenseBlock3D, batched_nms_3d, pre_act_conv3d


def _rows(maps: Tensor, num_values: int) -> Tensor:
    """Reshape maps (N, A * num_values, D, H, W) to (N, D * H * W * A, num_values)."""
    return maps.permute(0, 2, 3, 4, 1).reshape(len(maps), -1, num_values)


def _in_one_row(levels: Sequence[Tensor]) -> Tensor:
    """Join a list over levels of (N, n, ...) to (N * sum of n, ...), volume after volume."""
    return torch.cat(list(levels), 1).flatten(0, 1)


@MODELS.register_module()
class SphereRPNHead(RPNHead):
    """RPN for spheres in volumes, with a head for each pyramid level.

    3D Aggregated Faster R-CNN, section III-B: the Detector of Table I, two bottlenecks and a 1x1x1
    convolution, with separate weights for each level, which the paper found better.

    Anchors, targets and losses are mmdet's, applied to spheres (z, y, x, diameter) in voxels.
    Losses are computed over all levels together, as equation 3 counts samples of the whole batch,
    and so is NMS, as a lesion may be detected on two levels.

    Args:
        in_channels: Channels of each level. Defaults to 32.
        growth_rate: Channels that a bottleneck adds. Defaults to 16.
        num_bottlenecks: Bottlenecks of a head. Defaults to 2.
        shared: Whether the levels share a head. Defaults to False.
        norm_cfg: Normalization. Defaults to None, ``dict(type='BN3d')``.
        anchor_generator: Defaults to the paper's anchors for LUNA16.
        bbox_coder: Defaults to ``SphereDeltaCoder``.
        loss_cls: Defaults to ``FocusShiftLoss``.
        loss_bbox: Defaults to smooth L1.
        init_cfg: Initialization config. Defaults to None: Kaiming
            initialization, and a standard deviation of 0.01 for the prediction layers.
        **kwargs: ``num_classes``, which must be 1, ``train_cfg`` and ``test_cfg`` of
            :class:`mmdet.models.RPNHead`, which rejects unknown ones. Test settings are ``nms_pre``
            (proposals of each level before NMS), ``score_thr``, ``nms.iou_threshold`` and
            ``max_per_img``.

    Raises:
        OptionError: If levels that share a head have different numbers of anchors.
    """

    def __init__(
        self,
        in_channels: int = 32,
        growth_rate: int = 16,
        num_bottlenecks: int = 2,
        shared: bool = False,
        norm_cfg: OptConfigType = None,
        anchor_generator: ConfigType = dict(type='SphereAnchorGenerator'),
        bbox_coder: ConfigType = dict(type='SphereDeltaCoder'),
        loss_cls: ConfigType = dict(type='FocusShiftLoss'),
        loss_bbox: ConfigType = dict(type='SmoothL1Loss'),
        init_cfg: OptMultiConfig = None,
        **kwargs: Any,
    ) -> None:
        self.growth_rate = growth_rate
        self.num_bottlenecks = num_bottlenecks
        self.shared = shared
        self.norm_cfg = norm_cfg
        super().__init__(
            in_channels,
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            init_cfg=init_cfg or dict(type='Kaiming', layer='Conv3d', mode='fan_in'),
            **kwargs,
        )
        self.default_init = init_cfg is None

    def _init_layers(self) -> None:
        numbers = list(self.prior_generator.num_base_priors)
        if self.shared and len(set(numbers)) > 1:
            raise OptionError(f'levels with {numbers} anchors cannot share a head', self)
        heads = numbers[:1] if self.shared else numbers
        self.detectors = nn.ModuleList(self._detector(number) for number in heads)

    def _detector(self, num_anchors: int) -> nn.Sequential:
        block = DenseBlock3D(
            self.in_channels, self.growth_rate, self.num_bottlenecks, norm_cfg=self.norm_cfg
        )
        # a score and the deltas of each anchor
        values = num_anchors * (1 + self.bbox_coder.encode_size)
        predict = pre_act_conv3d(block.out_channels, values, 1, self.norm_cfg, bias=True)
        return nn.Sequential(block, predict)

    def init_weights(self) -> None:
        """Initialize the weights, with small ones in the layers that predict scores and deltas."""
        super().init_weights()
        if self.default_init:
            for detector in self.detectors:
                _, predict = detector.children()
                nn.init.normal_(predict.get_parameter('conv.weight'), std=0.01)

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Predict on each level.

        Args:
            x: Levels (N, in_channels, D, H, W), the finest first.

        Returns:
            tuple[list[Tensor]]: Of each level, scores (N, A, D, H, W) before the sigmoid and deltas
            (N, A * 4, D, H, W) of the A anchors of every voxel.
        """
        heads = list(self.detectors) * (len(x) if self.shared else 1)
        scores, deltas = [], []
        for level, head, num_anchors in zip(x, heads, self.prior_generator.num_base_priors):
            # of a voxel's channels the first A are the scores of its anchors, the others deltas
            values = head(level)
            scores.append(values[:, :num_anchors])
            deltas.append(values[:, num_anchors:])
        return scores, deltas

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of all levels.

        Args:
            cls_scores: Scores (N, A, D, H, W) of each level.
            bbox_preds: Deltas (N, A * 4, D, H, W) of each level.
            batch_gt_instances: ``bboxes`` (n, 4) and ``labels`` (n,) of each
                volume.
            batch_img_metas: ``pad_shape`` (D, H, W) and ``img_shape`` of each volume.
            batch_gt_instances_ignore: Spheres to ignore.

        Returns:
            dict[str, Tensor]: ``loss_rpn_cls`` and ``loss_rpn_bbox``.
        """
        sizes = [scores.shape[-3:] for scores in cls_scores]
        anchors, flags = self.get_anchors(sizes, batch_img_metas, cls_scores[0].device)
        _, label_weights, deltas, delta_weights, avg_factor = self.get_targets(
            anchors, flags, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        )
        # Targets are lists over levels of (N, n, ...), predictions are maps. From here on the
        # anchors of the batch are in one row: volume after volume, in each level after level.
        label_weights, delta_weights = _in_one_row(label_weights), _in_one_row(delta_weights)
        labels = (delta_weights[:, 0] == 0).long()  # 0 is a lesion, of whatever type
        scores = _in_one_row([_rows(level, 1) for level in cls_scores])
        encode_size = self.bbox_coder.encode_size
        preds = _in_one_row([_rows(level, encode_size) for level in bbox_preds])
        return dict(
            loss_rpn_cls=self.loss_cls(scores, labels, label_weights, avg_factor=avg_factor),
            loss_rpn_bbox=self.loss_bbox(
                preds, _in_one_row(deltas), delta_weights, avg_factor=avg_factor
            ),
        )

    @torch.no_grad()
    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_img_metas: list[dict] | None = None,
        cfg: OptConfigType = None,
        rescale: bool = False,
    ) -> InstanceList:
        """Propose spheres in all volumes of a batch at once.

        Args:
            cls_scores: Scores (N, A, D, H, W) of each level.
            bbox_preds: Deltas (N, A * 4, D, H, W) of each level.
            batch_img_metas: Not used; a prediction has the voxels of its
                input.
            cfg: Test settings. Defaults to None, those of the head.
            rescale: Not used; volumes are not resized on their way.

        Returns:
            list[InstanceData]: Of each volume ``bboxes`` (n, 4), ``scores`` (n,), highest first,
            ``labels`` (n,) of zeros, and ``level`` (n,), the pyramid level that proposed it.
        """
        cfg = self.test_cfg if cfg is None else cfg
        sizes = [scores.shape[-3:] for scores in cls_scores]
        priors = self.prior_generator.grid_priors(sizes, device=cls_scores[0].device)
        level_scores, level_boxes, level_numbers = [], [], []
        for level, level_priors in enumerate(priors):
            top, boxes = self._top(cls_scores[level], bbox_preds[level], level_priors, cfg)
            level_scores.append(top)
            level_boxes.append(boxes)
            level_numbers.append(torch.full((top.shape[1],), level, device=top.device))
        scores, boxes = torch.cat(level_scores, 1), torch.cat(level_boxes, 1)
        levels = torch.cat(level_numbers)

        # from here on the candidates of all volumes are in one row, `volume` says whose each is
        volume, place = (scores > cfg.get('score_thr', 0)).nonzero(as_tuple=True)
        boxes, scores, levels = boxes[volume, place], scores[volume, place], levels[place]
        keep = batched_nms_3d(boxes, scores, volume, cfg['nms']['iou_threshold'])
        # by volume, and within each still in descending order of score
        keep = keep[volume[keep].argsort(stable=True)]
        numbers = torch.bincount(volume[keep], minlength=len(cls_scores[0])).tolist()
        results = []
        for own in keep.split(numbers):
            chosen = own[: cfg['max_per_img']]
            proposals = InstanceData(bboxes=boxes[chosen], scores=scores[chosen])
            proposals.labels = torch.zeros_like(levels[chosen])
            proposals.level = levels[chosen]
            results.append(proposals)
        return results

    def _top(
        self, cls_score: Tensor, bbox_pred: Tensor, priors: Tensor, cfg: ConfigDict
    ) -> tuple[Tensor, ...]:
        """Return a level's best ``nms_pre`` per volume: scores (N, k) and spheres (N, k, 4)."""
        scores = _rows(cls_score, 1).squeeze(2).float().sigmoid()
        deltas = _rows(bbox_pred, self.bbox_coder.encode_size).float()
        # index (N, k) numbers the anchors of the level, of which all volumes have the same
        scores, index = scores.topk(min(cfg.get('nms_pre', 1000), scores.shape[1]))
        deltas = deltas.take_along_dim(index[..., None], 1)
        boxes = self.bbox_coder.decode(priors[index.flatten()], deltas.flatten(0, 1))
        return scores, boxes.unflatten(0, index.shape)
