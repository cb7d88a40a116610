# What a run has beyond mmdet's default runtime, for the three runtimes beside this file.
custom_imports = dict(imports=['mmlesion'], allow_failed_imports=False)

runner_type = 'LesionRunner'
best_checkpoint = dict(
    type='ValidatedCheckpointHook',
    interval=1,
    max_keep_ckpts=3,
    save_best='froc/mean',
    rule='greater',
)
pictures = dict(type='LesionVisualizationHook')
custom_hooks = [
    # a resumed run repeats the unbroken one
    dict(type='EpochSeedHook'),
    # a head of other classes than the data's is refused at once
    dict(type='NumClassCheckHook'),
    # mmdet's CheckInvalidLossHook that also looks at weights before they are saved, and at scores
    dict(type='CheckFiniteHook'),
    # a small /dev/shm, with which workers would wait for ever, is told
    dict(type='SharedMemoryHook'),
]
volume_hooks = [
    # all processes validate, and checkpoints hold, the mean of their statistics for normalization
    dict(type='SyncBuffersHook'),
    # a step on a processor takes 0.6 of its time
    dict(type='KeepFreedMemoryHook'),
]
