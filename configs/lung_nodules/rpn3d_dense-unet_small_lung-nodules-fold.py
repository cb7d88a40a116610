# One chest, 0 to 2, is not trained on and is tested: CHEST_FOLD=1 tools/train.py ...
_base_ = './rpn3d_dense-unet_small_lung-nodules.py'

fold = {{'$CHEST_FOLD:0'}}
train_dataloader = dict(dataset=dict(fold=fold))
val_dataloader = dict(dataset=dict(fold=fold))
test_dataloader = dict(dataset=dict(fold=fold))
val_evaluator = dict(fold=fold)
test_evaluator = dict(fold=fold)
scans = dict(_base_.scans, fold=fold)
loader = dict(_base_.hard_crops.dataloader, dataset=scans)
hard_crops = dict(_base_.hard_crops, dataloader=loader)
custom_hooks = [*_base_.other_hooks, hard_crops]
