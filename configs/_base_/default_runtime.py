_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['mmlesion'], allow_failed_imports=False)

runner_type = 'LesionRunner'
default_hooks = dict(
    checkpoint=dict(
        type='ValidatedCheckpointHook',
        interval=1,
        max_keep_ckpts=3,
        save_best='froc/mean',
        rule='greater',
    ),
    visualization=dict(type='LesionVisualizationHook'),
)
visualizer = dict(type='LesionLocalVisualizer')
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
