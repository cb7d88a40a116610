"""Assignment of priors to lesions in the presence of ignored regions."""

from __future__ import annotations

from mmdet.models.task_modules import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData


@TASK_UTILS.register_module()
class UncertainIoUAssigner(MaxIoUAssigner):
    """mmdet's MaxIoUAssigner with ignored uncertain regions that remove no positives.

    Priors in a region to be ignored are neither positive nor negative, with two differences from
    :class:`mmdet.models.task_modules.MaxIoUAssigner`:

    - A prior that matches a ground truth box stays positive. mmdet's assigner only considers the
      other priors, so that a region covering a lesion, such as another reader's mark, leaves the
      lesion without a good prior.
    - Regions are also ignored in images without ground truth boxes, where mmdet's assigner makes
      every prior negative. LENS trains on slices that have uncertain lesions and no certain one
      (section Cross-Dataset Lesion Mining).

    Arguments are mmdet's; ``ignore_iof_thr`` must be positive for any region to be ignored.
    """

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """Assign a ground truth box to each prior.

        Args:
            pred_instances: ``priors`` (n, 4).
            gt_instances: ``bboxes`` (k, 4) and ``labels`` (k,).
            gt_instances_ignore: Uncertain ``bboxes`` (m, 4).

        Returns:
            AssignResult: ``gt_inds`` (n,): 0 for negatives, -1 for what is ignored.
        """
        # Without regions first, so that each prior that matches a lesion is a positive.
        result = super().assign(pred_instances, gt_instances)
        if gt_instances_ignore is None or not self.ignore_iof_thr > 0:
            return result
        if len(gt_instances_ignore) > 0:
            regions = gt_instances_ignore.bboxes
            # The share of the prior that lies in a region, or of the region that lies in the prior;
            # the highest over regions, (n,) either way.
            if self.ignore_wrt_candidates:
                overlaps = self.iou_calculator(pred_instances.priors, regions, mode='iof').amax(1)
            else:
                overlaps = self.iou_calculator(regions, pred_instances.priors, mode='iof').amax(0)
            # Of the negatives alone: positives, which are over 0, stay.
            result.gt_inds[(overlaps > self.ignore_iof_thr) & (result.gt_inds == 0)] = -1
        return result
