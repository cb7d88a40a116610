_base_ = '../../../_base_/schedules/schedule_short.py'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [_base_.warmup, dict(_base_.cosine, end=max_epochs)]
