# ElixirNet, "Auto-Lesion Block Search". The number of epochs in all is not in the paper. Of Adam it
# says "momentum 0.999"; the first beta is that of DARTS.
max_epochs = 30
train_cfg = dict(
    type='ALBSearchLoop',
    max_epochs=max_epochs,
    strategy='gradient',
    architecture_begin=15,
    # of random search, --strategy random
    num_samples=100,
    num_score_batches=50,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    constructor='SearchOptimWrapperConstructor',
    weights=dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=3e-4)),
    architecture=dict(optimizer=dict(type='Adam', lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)),
)
cosine = dict(
    type='CosineAnnealingLR',
    by_epoch=True,
    begin=0,
    end=max_epochs,
    eta_min=0,
    convert_to_iter_based=True,
)
param_scheduler = dict(weights=[cosine], architecture=[])  # a constant rate of the architecture
auto_scale_lr = dict(enable=False, base_batch_size=16)

# each step leaves some parameters out
model_wrapper_cfg = dict(
    type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=True
)
