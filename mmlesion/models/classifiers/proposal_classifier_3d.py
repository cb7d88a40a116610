"""The 3D false positive reduction network of LENS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from mmlesion.utils import UserError

from ..layers import RoIAlign3D


@MODELS.register_module()
class ProposalClassifier3D(BaseModel):
    """Classify 3D proposals of a detector as lesion or false positive (LENS, section 3D FPR).

    A patch about the proposal goes through a backbone. The features of the proposal's box on all
    levels but the last, and those of the whole patch on the last, are pooled to one size, joined
    and classified by two fully connected layers. The score of a proposal is then the average of the
    detector's and this network's (equation 2).

    Each sample has these metainfo fields of
    :class:`~mmlesion.datasets.transforms.LoadProposalPatch` and
    :class:`~mmlesion.datasets.ProposalPatchDataset`: ``patch_box``, the proposal in voxels of the
    patch; ``proposal_label`` for a loss; ``proposal_box`` and ``proposal_score`` for a prediction.

    Args:
        backbone: Config of a 3D backbone, ``InflatedResNet3D``.
        in_channels: Channels of the backbone's outputs.
        roi_size: Bins of a region, along all axes or along z, y, x. Defaults
            to 3.
        fc_out_channels: Of the first fully connected layer. Defaults to 256.
        loss_cls: Of one class by a sigmoid. Defaults to mmdet's ``FocalLoss``.
        data_preprocessor: As in mmdet.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        backbone: ConfigType,
        in_channels: Sequence[int],
        roi_size: int | Sequence[int] = 3,
        fc_out_channels: int = 256,
        loss_cls: ConfigType = dict(type='FocalLoss'),
        data_preprocessor: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.roi_align = RoIAlign3D(roi_size)
        bins = torch.Size(self.roi_align.output_size).numel()
        self.fc = nn.Linear(sum(in_channels) * bins, fc_out_channels)
        self.fc_cls = nn.Linear(fc_out_channels, 1)
        self.loss_cls = MODELS.build(loss_cls)

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample], mode: str = 'tensor'
    ) -> Tensor | list[DetDataSample] | dict[str, Tensor]:
        """Classify proposals.

        Args:
            inputs: (N, C, D, H, W) patches.
            data_samples: N samples, one per proposal.
            mode: 'tensor', 'predict' or 'loss'.

        Returns:
            Tensor | list[DetDataSample] | dict[str, Tensor]: (N, 1) logits; the samples with
            ``pred_instances``, the proposal's box (1, 6) as it was, its new score (1,) and label
            (1,); or the loss.
        """
        logits = self._classify(inputs, _column(data_samples, 'patch_box'))
        if mode == 'loss':
            lesion = logits.new_tensor(_column(data_samples, 'proposal_label')).long()
            return dict(loss_cls=self.loss_cls(logits, 1 - lesion))  # 1 is mmdet's background
        if mode == 'predict':
            return self._predict(logits, data_samples)
        return logits

    def _classify(self, inputs: Tensor, boxes: Sequence[Sequence[float]]) -> Tensor:
        feats = self.backbone(inputs)
        rois = _corners_to_rois(inputs.new_tensor(boxes))
        # the box on each level; on the coarsest, which it hardly resolves, the whole patch
        pooled = [self.roi_align(level, _scale_rois(rois, inputs, level)) for level in feats[:-1]]
        pooled.append(F.adaptive_avg_pool3d(feats[-1], self.roi_align.output_size))
        hidden = F.relu(self.fc(torch.cat(pooled, dim=1).flatten(1)))
        return self.fc_cls(hidden)

    def _predict(self, logits: Tensor, data_samples: list[DetDataSample]) -> list[DetDataSample]:
        boxes = torch.tensor(_column(data_samples, 'proposal_box'), dtype=torch.float64)
        own = logits[:, 0].sigmoid().double().cpu()
        detector = torch.tensor(_column(data_samples, 'proposal_score'), dtype=torch.float64)
        scores = (own + detector) / 2
        for i, sample in enumerate(data_samples):
            row = slice(i, i + 1)
            sample.pred_instances = InstanceData(
                bboxes=boxes[row], scores=scores[row], labels=torch.zeros(1, dtype=torch.long)
            )
        return data_samples


def _column(data_samples: Sequence[DetDataSample], key: str) -> list:
    """Return a field of the metainfo of all samples."""
    values = [sample.metainfo.get(key) for sample in data_samples]
    if any(value is None for value in values):
        raise UserError(
            f'samples have no {key}: load them by ProposalPatchDataset, for training one that is '
            f"labeled, and LoadProposalPatch, with '{key}' among the meta keys"
        )
    return values


def _corners_to_rois(boxes: Tensor) -> Tensor:
    """Convert one box z1, y1, x1, z2, y2, x2 per patch, (N, 6), to RoIAlign3D's format (N, 7)."""
    low, high = boxes[:, :3], boxes[:, 3:]
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
    return torch.cat([index[:, None], (low + high) / 2, high - low], dim=1)


def _scale_rois(rois: Tensor, inputs: Tensor, feature: Tensor) -> Tensor:
    """Convert regions (N, 7) from voxels of the inputs to those of a feature map."""
    scale = rois.new_tensor(feature.shape[2:]) / rois.new_tensor(inputs.shape[2:])  # z, y, x
    # the index in the batch stays; centers and sides are scaled
    return rois * torch.cat([scale.new_ones(1), scale, scale])
