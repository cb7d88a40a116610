from mmdet.models.task_modules import MaxIoUAssigner
from mmdet.registry import TASK_UTILS


@TASK_UTILS.register_module()
class UncertainIoUAssigner(MaxIoUAssigner):
    """mmdet's MaxIoUAssigner that ignores uncertain regions in images without lesions, too.

    mmdet's makes every prior negative where an image has no true box, the ones in regions to be
    ignored among them. LENS trains on slices that have uncertain lesions and no certain one
    (section Cross-Dataset Lesion Mining). Arguments are those of
    :class:`mmdet.models.task_modules.MaxIoUAssigner`; ``ignore_iof_thr`` must be positive for any
    region to be ignored.
    """

    def assign(self, pred_instances, gt_instances, gt_instances_ignore=None):
        """Assign a true box to each prior.

        Args:
            pred_instances (InstanceData): ``priors`` (n, 4).
            gt_instances (InstanceData): ``bboxes`` (k, 4) and ``labels`` (k,).
            gt_instances_ignore (InstanceData, optional): Uncertain ``bboxes`` (m, 4).

        Returns:
            AssignResult: ``gt_inds`` (n,): 0 for negatives, -1 for what is ignored.
        """
        result = super().assign(pred_instances, gt_instances, gt_instances_ignore)
        uncertain = gt_instances_ignore is not None and len(gt_instances_ignore) > 0
        if uncertain and not len(gt_instances) and self.ignore_iof_thr > 0:
            regions = gt_instances_ignore.bboxes
            if self.ignore_wrt_candidates:
                overlaps = self.iou_calculator(pred_instances.priors, regions, mode='iof').amax(1)
            else:
                overlaps = self.iou_calculator(regions, pred_instances.priors, mode='iof').amax(0)
            result.gt_inds[overlaps > self.ignore_iof_thr] = -1
        return result
