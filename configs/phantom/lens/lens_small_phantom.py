# Table I, row (c), at a fraction of the network's size, on the phantoms of all four layouts.
_base_ = [
    '../_base_/models/lens_small.py',
    '../_base_/datasets/lens.py',
    '../../_base_/schedules/schedule_short.py',
    '../../_base_/default_runtime.py',
]
