# Table I, row (e): the false positive reduction network, on the proposals of row (d).
_base_ = [
    '../_base_/models/proposal_classifier_3d.py',
    '../_base_/datasets/deeplesion_proposals.py',
    '../_base_/schedules/schedule_fpr.py',
    '../_base_/default_runtime.py',
]
