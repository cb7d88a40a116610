"""Dump test results without dense maps."""

from collections.abc import Sequence

import numpy as np
from mmdet.evaluation import DumpDetResults
from mmdet.registry import METRICS

from mmlesion.structures import encode_mask


@METRICS.register_module()
class DumpLesionResults(DumpDetResults):
    """mmdet's ``DumpDetResults`` without the full-size maps of dense predictions.

    A map of lesion probability and one of segment numbers are 8 bytes a px: 2 MB a slice, all of
    which would stay in memory to the end. ``pred_sem_seg`` keeps the segments that detections have
    as their own, as COCO's RLE by their number in ``pred_instances.segment_ids``, and the
    probability goes. Other metrics and the visualizer see the samples as they were.

    Args:
        out_file_path: The file, ``*.pkl`` or ``*.pickle``.
        collect_device: 'cpu' or 'gpu', for results from several processes.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch.

        Args:
            data_batch: Of mmengine's interface.
            data_samples: Predictions as ``LesionRetinaNet`` has them, or others.
        """
        super().process(data_batch, list(map(_without_maps, data_samples)))


def _without_maps(sample: dict) -> dict:
    """Return a copy of a sample with the detections' segments as RLE in place of its maps."""
    kept = dict(sample)
    kept.pop('gt_sem_seg', None)
    if 'segments' in sample.get('pred_sem_seg', {}):
        numbers = sample['pred_sem_seg']['segments'][0].cpu().numpy()
        ids = np.unique(sample['pred_instances']['segment_ids'].cpu().numpy()).tolist()
        # 0 is the background: the number of a detection without a segment
        segments = {number: encode_mask(numbers == number) for number in ids if number}
        kept['pred_sem_seg'] = dict(segments=segments)
    return kept
