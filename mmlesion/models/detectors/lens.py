"""The detector of LENS."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.detectors import TwoStageDetector
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig


@MODELS.register_module()
class LENS(TwoStageDetector):
    """Lesion ensemble: one detector for several partially labeled datasets (LENS).

    Datasets share backbone, neck and the detection head's first layers; each has its own proposal
    network and expert, a classification and a regression layer, which are trained only on its
    batches (equation 1). All proposals are pooled, all experts score them, and their detections are
    merged by NMS. To add a dataset, add its name to ``datasets``. List only datasets that you train
    on: an untrained expert gives random scores.

    A training batch is of one dataset, which its samples name: it takes ``dataset_name`` of
    ``CTSliceDataset``, that name among the meta keys of ``PackDetInputs``, and
    ``SingleDatasetBatchSampler``. The branches of other datasets have no gradients then, not
    gradients of zero, by which an optimizer with momentum would move them; so distributed training
    needs ``find_unused_parameters=True``.

    Args:
        datasets: Names of the datasets.
        backbone: As in mmdet.
        neck: As in mmdet.
        rpn_head: A dataset's proposal network, ``AnchorFreeProposalHead`` or one of mmdet's.
        roi_head: ``LENSRoIHead`` without its ``datasets``.
        train_cfg: ``rpn``, ``rpn_proposal`` and ``rcnn``, as in mmdet.
        test_cfg: ``rpn``, as in mmdet, and ``rcnn``, that of ``LENSRoIHead``.
        data_preprocessor: As in mmdet.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        backbone: ConfigType,
        neck: ConfigType,
        rpn_head: ConfigType,
        roi_head: ConfigType,
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        data_preprocessor: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        datasets = tuple(datasets)
        super().__init__(
            backbone=backbone,
            neck=neck,
            rpn_head=dict(type='ProposalEnsemble', datasets=datasets, head=rpn_head),
            roi_head=dict(roi_head, datasets=datasets),
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.datasets = datasets
