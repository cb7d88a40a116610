# The focal loss of 3D Aggregated Faster R-CNN hardly pushes background below 0.4 (its gamma is 5):
# pictures begin at 0.5, which is one to four false positives in a scan on the phantoms.
_base_ = './default_runtime.py'

default_hooks = dict(visualization=dict(score_thr=0.5))
custom_hooks = [
    *_base_.custom_hooks,
    # all processes validate, and checkpoints hold, the mean of their statistics for normalization
    dict(type='SyncBuffersHook'),
    # a step on a processor takes 0.6 of its time
    dict(type='KeepFreedMemoryHook'),
]
