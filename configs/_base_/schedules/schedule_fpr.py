# LENS, section Implementation, of the 3D FPR: RAdam, a learning rate of 2e-4 for batches of 32, 6
# epochs, a tenth after the 2nd and the 4th.
_base_ = './schedule_lens.py'

train_cfg = dict(max_epochs=6)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [dict(_base_.steps, end=6, milestones=[2, 4])]
auto_scale_lr = dict(base_batch_size=32)
