_base_ = [
    '../../_base_/models/atss_r18_fpn_small.py',
    '../_base_/datasets/deeplesion.py',
    '../../_base_/schedules/schedule_short.py',
    '../../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=4)
