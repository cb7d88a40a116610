_base_ = [
    '../_base_/models/faster-rcnn_densenet121_slice-context.py',
    '../_base_/models/slice_context_parts.py',
    '../_base_/datasets/deeplesion_slice_context.py',
    '../_base_/schedules/schedule_slice_context.py',
    '../_base_/default_runtime.py',
]
