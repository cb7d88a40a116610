"""The lesion embedding for matching lesions within a patient."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmlesion.utils import UserError


@MODELS.register_module()
class LesionEmbedding(BaseModel):
    """Lesion embedding that is similar for the same lesion at other times (Intra-Patient Matching).

    LENS uses the embedding of LesaNet. This one is learned only from DeepLesion's own fields: the
    features of the lesion's box on one level of a backbone and the mean of its last level, which
    covers the lesion's surroundings, are mapped by a fully connected layer to a vector of length 1.
    Two triplet losses with the hardest pairs of a batch: annotations of one lesion are nearer to
    each other than to other lesions, lesions of one type nearer than those of other types.

    Args:
        backbone: Config of a backbone.
        bbox_roi_extractor: Config of mmdet's extractor for the backbone's first output.
        channels: Channels of the backbone's last output.
        out_channels: Length D of the embedding. Defaults to 256.
        loss_lesion: Loss between the lesions of ``lesion_group``. Defaults to mmdet's
            ``TripletLoss`` with a margin of 0.1.
        loss_type: Loss between the lesions with a known ``lesion_type``. Defaults to the
            same with a weight of 0.5.
        data_preprocessor: As in mmdet.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        backbone: ConfigType,
        bbox_roi_extractor: ConfigType,
        channels: int,
        out_channels: int = 256,
        loss_lesion: ConfigType = dict(type='TripletLoss', margin=0.1),
        loss_type: ConfigType = dict(type='TripletLoss', margin=0.1, loss_weight=0.5),
        data_preprocessor: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.bbox_roi_extractor = MODELS.build(bbox_roi_extractor)
        roi_layer = self.bbox_roi_extractor.roi_layers[0]
        area = roi_layer.output_size[0] * roi_layer.output_size[1]
        box_channels = self.bbox_roi_extractor.out_channels * area
        self.fc = nn.Linear(box_channels + channels, out_channels)
        self.loss_lesion = MODELS.build(loss_lesion)
        self.loss_type = MODELS.build(loss_type)

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample], mode: str = 'tensor'
    ) -> Tensor | list[DetDataSample] | dict[str, Tensor]:
        """Embed lesions.

        Args:
            inputs: (N, C, H, W) patches.
            data_samples: N samples, each with the box of its lesion in
                ``gt_instances``; for a loss with ``lesion_group`` and ``lesion_type``.
            mode: 'tensor', 'predict' or 'loss'.

        Returns:
            Tensor | list[DetDataSample] | dict[str, Tensor]: (N, D) embeddings of length 1, the
            samples with ``embedding`` (D,), or the losses.
        """
        embeddings = self._embed(inputs, data_samples)
        if mode == 'loss':
            return self._losses(embeddings, data_samples)
        if mode == 'predict':
            for sample, embedding in zip(data_samples, embeddings):
                sample.embedding = embedding
            return data_samples
        return embeddings

    def _embed(self, inputs: Tensor, data_samples: list[DetDataSample]) -> Tensor:
        features = self.backbone(inputs)
        # the first box is the lesion's own
        rois = bbox2roi([sample.gt_instances.bboxes[:1] for sample in data_samples])
        box = self.bbox_roi_extractor(features[:1], rois.to(inputs.device)).flatten(1)
        surroundings = features[-1].mean(dim=(2, 3))
        return F.normalize(self.fc(torch.cat([box, surroundings], dim=1)))

    def _losses(self, embeddings: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        groups = [sample.metainfo.get('lesion_group') for sample in data_samples]
        if None in groups:
            raise UserError(
                "samples have no lesion_group: train on LesionPatchDataset, with 'lesion_group' "
                "and 'lesion_type' among the meta keys of PackDetInputs"
            )
        # the loss compares labels: any number will do that lesions of one group share
        lesions = np.unique(groups, return_inverse=True)[1]
        types = [sample.metainfo.get('lesion_type', -1) for sample in data_samples]
        lesion_ids = torch.as_tensor(lesions, device=embeddings.device)
        type_ids = torch.as_tensor(types, device=embeddings.device)
        # -1 is an unknown type, which is like no other
        typed = type_ids > 0
        return dict(
            loss_lesion=_triplet_loss(self.loss_lesion, embeddings, lesion_ids),
            loss_type=_triplet_loss(self.loss_type, embeddings[typed], type_ids[typed]),
        )


def _triplet_loss(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return the loss, or 0 if a batch has fewer than two labels."""
    if len(labels.unique()) < 2:
        # part of the graph: distributed training waits for a gradient of every parameter
        return embeddings.sum() * 0
    return loss(embeddings, labels)
