"""The ensemble of proposal networks of LENS, one per dataset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig
from mmengine.config import ConfigDict
from mmengine.model import BaseModule, ModuleDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmlesion.models.utils import batch_dataset


@MODELS.register_module()
class ProposalEnsemble(BaseModule):
    """One proposal network per dataset, with proposals pooled and merged by NMS.

    LENS, section Lesion Ensemble. Only the network of the batch's dataset is trained; the others
    also propose during training, so that the inputs of the detection head are the same as in
    testing. The proposals of each network first go through a separate NMS, as in mmdet's heads.

    Args:
        datasets: Names of the datasets, one network each.
        head: Config of a proposal network, ``AnchorFreeProposalHead`` or one of mmdet's.
        num_classes: 1.
        train_cfg: That of ``head``.
        test_cfg: That of ``head``; ``nms`` and ``max_per_img`` are those of
            the pooled proposals too.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        head: ConfigType,
        num_classes: int = 1,
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        self.datasets = tuple(datasets)
        self.test_cfg = test_cfg
        settings = dict(num_classes=num_classes, train_cfg=train_cfg, test_cfg=test_cfg)
        heads = {name: MODELS.build(dict(head, **settings)) for name in self.datasets}
        self.heads = ModuleDict(heads)

    def loss_and_predict(
        self,
        x: tuple[Tensor, ...],
        batch_data_samples: list[DetDataSample],
        proposal_cfg: OptConfigType = None,
    ) -> tuple[dict, InstanceList]:
        """Compute the losses of the batch's dataset and pool the proposals of all networks.

        Args:
            x: Feature maps (N, C, H, W).
            batch_data_samples: With ``dataset_name`` in the meta information.
            proposal_cfg: Settings of the proposals in training. Defaults to
                ``test_cfg``.

        Returns:
            tuple: The losses of one network, and the proposals, an InstanceData per image.

        Raises:
            UserError: If the samples are not all from one known dataset.
        """
        # Only this network is trained on the batch; the others propose without gradients.
        trained = batch_dataset(batch_data_samples, self.datasets)
        cfg = proposal_cfg or self.test_cfg
        losses, own = self.heads[trained].loss_and_predict(x, batch_data_samples, proposal_cfg=cfg)
        metas = [sample.metainfo for sample in batch_data_samples]
        proposals = []
        for name, head in self.heads.items():
            proposals.append(own if name == trained else self._propose(head, x, metas, cfg))
        return losses, self._pool(proposals, cfg)

    def predict(
        self, x: tuple[Tensor, ...], batch_data_samples: list[DetDataSample], rescale: bool = False
    ) -> InstanceList:
        """Pool the proposals of all networks.

        Args:
            x: Feature maps (N, C, H, W).
            batch_data_samples: With meta information.
            rescale: Whether to return boxes of the original image. Defaults to False.

        Returns:
            list[InstanceData]: ``bboxes`` (n, 4), ``scores`` and ``labels`` of each image.
        """
        proposals = [head.predict(x, batch_data_samples, rescale) for head in self.heads.values()]
        return self._pool(proposals, self.test_cfg)

    @staticmethod
    @torch.no_grad()
    def _propose(
        head: BaseDenseHead, x: tuple[Tensor, ...], metas: list[dict], cfg: ConfigDict
    ) -> InstanceList:
        return head.predict_by_feat(*head(x), batch_img_metas=metas, cfg=cfg)

    def _pool(self, proposals: Sequence[InstanceList], cfg: ConfigDict) -> InstanceList:
        """Merge the networks' proposals, one list over images each, into one list over images."""
        if len(proposals) == 1:
            return proposals[0]
        by_image = map(list, zip(*proposals))
        return [self._pool_image(InstanceData.cat(image), cfg) for image in by_image]

    @staticmethod
    def _pool_image(pooled: InstanceData, cfg: ConfigDict) -> InstanceData:
        """Merge the proposals of all networks for one image by a single NMS."""
        if not len(pooled):
            return pooled
        boxes, scores, labels = pooled.bboxes, pooled.scores, pooled.labels
        # class-agnostic: networks of several datasets propose the same lesion
        scored, keep = batched_nms(boxes, scores, labels, cfg.nms, class_agnostic=True)
        pooled = pooled[keep]
        pooled.scores = scored[:, -1]  # some kinds of NMS change the scores
        return pooled[: cfg.max_per_img]
