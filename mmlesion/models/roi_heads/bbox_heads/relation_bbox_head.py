"""The box head of ElixirNet."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules import SamplingResult
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.models.layers import RegionGraph


def _build_encoder(encoder: dict, **inherited: Any) -> BaseModule:
    """Build an encoder with the ``inherited`` options that it accepts and that are not set."""
    known = inspect.signature(MODELS.get(encoder['type'])).parameters
    default_args = {key: value for key, value in inherited.items() if key in known}
    return MODELS.build(encoder, default_args=default_args)


class RegionOutputs(NamedTuple):
    """The predictions of :class:`RelationBBoxHead` for N regions.

    Args:
        cls_score: Scores (N, num_classes + 1).
        bbox_pred: Box deltas (N, 4 * num_classes), or (N, 4) if they are
            class-agnostic.
        binary_score: Scores (N, 2), first lesion, then background; None without
            relation transfer.
        relations: E (n, n) of each image; None if there are none.
    """

    cls_score: Tensor | None
    bbox_pred: Tensor | None
    binary_score: Tensor | None
    relations: list[Tensor] | None


@MODELS.register_module()
class RelationBBoxHead(BBoxHead):
    """Box head of ElixirNet: an encoder of regions and optional relation transfer.

    With relation transfer, a binary classifier (lesion or not) has a separate loss, and the
    transferred features are concatenated to the region's features for the final classification and
    regression. The relations are those of the encoder or, if it has none, of a graph of its
    features.

    It can replace mmdet's ``Shared2FCBBoxHead`` in an inherited config: the remaining options
    ``in_channels``, ``roi_feat_size`` and ``fc_out_channels`` of the latter are passed to an
    encoder that accepts them. Use it in a :class:`RelationRoIHead`.

    Args:
        encoder: Encoder of regions, ``ALBEncoder`` or ``FCEncoder``.
        relation_transfer: ``RelationTransferModule``. Defaults to None, without.
        relation_temperature: ``temperature`` of every
            :class:`~mmlesion.models.layers.RegionGraph`, the encoder's and the head's own. Defaults
            to None, the paper's equation 2.
        loss_binary: Loss of the binary classifier, over two scores. Defaults to
            cross-entropy.
        in_channels: Channels of the regions' features. Defaults to 256.
        roi_feat_size: Their height and width. Defaults to 7.
        fc_out_channels: Channels of fully connected layers. Defaults to 1024.
        init_cfg: Initialization config.
        **kwargs: The other arguments of :class:`mmdet.models.BBoxHead`, which rejects unknown ones.
    """

    def __init__(
        self,
        encoder: ConfigType,
        relation_transfer: dict | None = None,
        relation_temperature: float | None = None,
        loss_binary: ConfigType = dict(type='CrossEntropyLoss'),
        in_channels: int = 256,
        roi_feat_size: int = 7,
        fc_out_channels: int = 1024,
        init_cfg: OptMultiConfig = None,
        **kwargs: Any,
    ) -> None:
        region_encoder = _build_encoder(
            encoder,
            in_channels=in_channels,
            roi_feat_size=roi_feat_size,
            fc_out_channels=fc_out_channels,
        )
        # fc_cls and fc_reg take the encoder's channels and, behind them, the transferred ones
        channels, transfer = region_encoder.out_channels, None
        if relation_transfer:
            transfer = MODELS.build(relation_transfer, default_args=dict(in_channels=channels))
            channels += transfer.out_channels
        # what is classified has no positions left
        super().__init__(in_channels=channels, roi_feat_size=1, init_cfg=init_cfg, **kwargs)
        self.encoder = region_encoder
        self.relation_transfer = transfer
        if transfer:
            self._init_transfer(loss_binary, default_init=init_cfg is None)
        for module in self.modules():
            if isinstance(module, RegionGraph):
                module.temperature = relation_temperature

    def _init_transfer(self, loss_binary: dict, default_init: bool) -> None:
        channels = self.encoder.out_channels
        self.fc_binary = nn.Linear(channels, 2)
        self.loss_binary = MODELS.build(loss_binary)
        self.graph = None if self.encoder.with_relations else RegionGraph(channels)
        if default_init:
            self.init_cfg.append(dict(type='Normal', std=0.01, override=dict(name='fc_binary')))

    def forward(self, x: Tensor, num_regions: list[int]) -> RegionOutputs:
        """Classify and locate regions.

        Args:
            x: Features (N, in_channels, h, w) of the regions, image after image.
            num_regions: Regions n of each image; they sum to N.

        Returns:
            RegionOutputs: Of all N regions.
        """
        # Regions exchange features with those of their own image alone, which num_regions tells.
        features, relations = self.encoder(x, num_regions)
        binary_score = None
        if self.relation_transfer:
            if relations is None:
                assert self.graph is not None, 'an encoder with_relations has to return some'
                relations = self.graph(features, num_regions)
            binary_score = self.fc_binary(features)
            transferred = self.relation_transfer(relations, binary_score, self.fc_binary)
            features = torch.cat([features, transferred], 1)
        cls_score = self.fc_cls(features) if self.with_cls else None
        bbox_pred = self.fc_reg(features) if self.with_reg else None
        return RegionOutputs(cls_score, bbox_pred, binary_score, relations)

    def loss_and_target(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        sampling_results: list[SamplingResult],
        rcnn_train_cfg: ConfigDict,
        concat: bool = True,
        reduction_override: str | None = None,
        binary_score: Tensor | None = None,
    ) -> dict:
        """Compute the losses and the targets of sampled regions.

        Args and result are those of :class:`mmdet.models.BBoxHead`; ``binary_score`` (N, 2) adds
        ``loss_binary``.
        """
        result = super().loss_and_target(
            cls_score,
            bbox_pred,
            rois,
            sampling_results,
            rcnn_train_cfg,
            concat=concat,
            reduction_override=reduction_override,
        )
        if binary_score is not None:
            # mmdet gives the background the highest label, num_classes
            labels, weights = result['bbox_targets'][:2]
            result['loss_bbox']['loss_binary'] = self.loss_binary(
                binary_score,
                (labels == self.num_classes).long(),  # 0 is the lesion, of whatever type
                weights,
                avg_factor=(weights > 0).sum().clamp(min=1),
                reduction_override=reduction_override,
            )
        return result
