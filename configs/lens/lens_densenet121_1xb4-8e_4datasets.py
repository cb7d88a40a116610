# Table I, row (c): four datasets, the detections of all experts fused.
_base_ = [
    '../_base_/models/lens.py',
    '../_base_/datasets/lens.py',
    '../_base_/schedules/schedule_lens.py',
    '../_base_/default_runtime.py',
]
