"""The detector of the improved RetinaNet."""

from __future__ import annotations

import torch
from mmdet.models.detectors import RetinaNet
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmlesion.models.utils import label_segments, overlap_with_segments
from mmlesion.structures import shares_in_boxes


def calibrated_scores(scores: Tensor, bboxes: Tensor, segments: Tensor) -> Tensor:
    """Calibrate scores as p * (1 + IoU), IoU being that of boxes and segments.

    Boxes are x1, y1, x2, y2 in px, and px n extends from n to n + 1.

    Args:
        scores: (n,) probabilities p.
        bboxes: (n, 4) detections.
        segments: (S, 4) bounding boxes of the segments; the one with the largest IoU with
            a detection is used. Without overlap its score is not changed.

    Returns:
        Tensor: (n,), up to 2.
    """
    return scores * (1 + overlap_with_segments(bboxes, segments)[0])


def calibrate(instances: InstanceData, segments: Tensor) -> InstanceData:
    """Calibrate detections and sort them by their new scores.

    Args:
        instances: (n, 4) ``bboxes``, (n,) ``scores`` and any other fields.
        segments: (S, 4) boxes around the segments, in the frame of ``bboxes``.

    Returns:
        InstanceData: The detections, the highest score first.
    """
    instances = instances.clone()
    instances.scores = calibrated_scores(instances.scores, instances.bboxes, segments)
    return instances[instances.scores.argsort(descending=True, stable=True)]


@MODELS.register_module()
class LesionRetinaNet(RetinaNet):
    """RetinaNet with dense supervision and calibrated scores (improved RetinaNet, section 2.2).

    ``seg_head`` segments lesions at the image's resolution from the image itself, the backbone's
    first output (C1, unless its ``c1_channels`` is None) and the neck's first one (P2). At test a
    detection's probability p becomes p * (1 + IoU), IoU being that of its box and the box around
    the predicted segment that it overlaps most: scores may exceed 1. As the paper calibrates the
    probabilities of the predicted lesions, calibration follows ``score_thr``, NMS and
    ``max_per_img`` and changes only the ranking.

    Any overlap of the boxes counts there. A segment's mask and diameters are a detection's own only
    where enough of the segment lies in its box, ``min_segment_share``.

    Args:
        backbone: Config of a backbone; its first output is C1 (stride 2) where ``seg_head``
            has ``c1_channels``.
        neck: Config of a neck whose first output is P2 (stride 4).
        bbox_head: Config of the detection head.
        seg_head: Config of the segmentation head.
        calibrate: Whether scores are calibrated. Defaults to True.
        segment_padding: Padding of a segment's box on every side before the IoU is
            computed, px of the original image. DeepLesion's boxes have a margin of 5 px around the
            lesion, which lowers the IoU of small lesions most. Defaults to 0, as in the paper.
        min_segment_share: Minimum fraction of a segment's px in a detection's box for the
            segment to be reported as that detection's. Defaults to 0.5; with 0 any overlapping
            segment is reported. Scores do not depend on it.
        train_cfg: Training config.
        test_cfg: Test config.
        data_preprocessor: Config of the data preprocessor; for batches of images
            of unequal size with ``pad_seg=True``.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        backbone: ConfigType,
        neck: ConfigType,
        bbox_head: ConfigType,
        seg_head: ConfigType,
        calibrate: bool = True,
        segment_padding: float = 0.0,
        min_segment_share: float = 0.5,
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        data_preprocessor: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(
            backbone, neck, bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg
        )
        self.seg_head = MODELS.build(seg_head)
        self.calibrate = calibrate
        self.segment_padding = segment_padding
        self.min_segment_share = min_segment_share

    def extract_seg_feat(
        self, batch_inputs: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor | None, Tensor]]:
        """Extract the features of both heads.

        Args:
            batch_inputs: Images (N, C, H, W).

        Returns:
            tuple[tuple[Tensor], tuple[Tensor]]: The pyramid for the detection head, and the
            images, C1 (None where the segmentation head takes none) and P2 for that head.
        """
        features = self.backbone(batch_inputs)
        pyramid = self.neck(features)
        # the backbone's finest level, at stride 2, which the pyramid does not use
        c1 = features[0] if self.seg_head.takes_c1 else None
        return pyramid, (batch_inputs, c1, pyramid[0])

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict:
        """Compute RetinaNet's losses and the loss of the dense masks.

        Args:
            batch_inputs: Images (N, C, H, W).
            batch_data_samples: With ``gt_instances`` and ``gt_sem_seg``.

        Returns:
            dict: ``loss_cls``, ``loss_bbox`` and ``loss_seg``.
        """
        pyramid, seg_feat = self.extract_seg_feat(batch_inputs)
        losses = self.bbox_head.loss(pyramid, batch_data_samples)
        losses.update(self.seg_head.loss(seg_feat, batch_data_samples))
        return losses

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detect and segment lesions.

        Args:
            batch_inputs: Images (N, C, H, W).
            batch_data_samples: With meta information.
            rescale: Whether predictions go back to the original image. Defaults to True.

        Returns:
            list[DetDataSample]: With ``pred_instances`` as RetinaNet has them, and
            ``pred_sem_seg.sem_seg``, the probability map (1, H, W) of lesions, of size
            ``ori_shape`` if rescaled. ``pred_sem_seg.segments`` (1, H, W) numbers its segments,
            where the probability exceeds 0.5, from 1, and ``pred_instances.segment_ids`` has the
            number of each detection's own segment, 0 for none.
        """
        pyramid, seg_feat = self.extract_seg_feat(batch_inputs)
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.bbox_head.predict(pyramid, batch_data_samples, rescale=rescale)
        maps = self.seg_head.predict(seg_feat, metas, rescale=rescale)
        segmented = []
        for result, probability, sample in zip(results, maps, batch_data_samples):
            segmented.append(self._with_segments(result, probability, sample, rescale))
        return self.add_pred_to_datasample(batch_data_samples, segmented)

    def _with_segments(
        self, result: InstanceData, probability: Tensor, sample: DetDataSample, rescale: bool
    ) -> InstanceData:
        """Store a map and its segments in a sample; match and calibrate its detections."""
        padding = self.segment_padding
        # given in px of the original image, used in the frame of the boxes
        if padding and not rescale:
            padding *= sample.metainfo['scale_factor'][0]
        numbers, boxes = label_segments(probability[0], padding=padding)
        sample.pred_sem_seg = PixelData(sem_seg=probability, segments=numbers[None])
        result.segment_ids = self._own_segments(result.bboxes, boxes, numbers)
        return calibrate(result, boxes) if self.calibrate else result

    def _own_segments(self, bboxes: Tensor, segments: Tensor, numbers: Tensor) -> Tensor:
        """Return the number (n,) of each detection's own segment, or 0 if there is none."""
        # (n,) numbers of segments, 0 where a detection meets none
        met = overlap_with_segments(bboxes, segments)[1]
        # Any overlap counts for the score, but a mask is reported only with its larger part in.
        shares = shares_in_boxes(
            numbers.cpu().numpy(), met.cpu().numpy(), bboxes.float().cpu().numpy()
        )
        enough = torch.from_numpy(shares >= self.min_segment_share).to(met.device)
        return torch.where(enough, met, 0)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None
    ) -> tuple:
        """Run the network without post-processing.

        Args:
            batch_inputs: Images (N, C, H, W).
            batch_data_samples: Not used.

        Returns:
            tuple: Scores and box deltas of each level, and the segmentation's logits (N, 1, H, W).
        """
        pyramid, seg_feat = self.extract_seg_feat(batch_inputs)
        return *self.bbox_head(pyramid), self.seg_head(seg_feat)['seg_preds']
