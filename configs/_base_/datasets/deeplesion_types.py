# The second stage of ElixirNet, "Multi-type Lesion Detection": eight types, trained on DeepLesion's
# typed validation split and tested on the test split. Written by
# `tools/dataset_converters/deeplesion.py --multi-type --out data/deeplesion/types`.
_base_ = ['./deeplesion.py', './deeplesion_type_names.py']

typed = _base_.typed
train_dataloader = dict(dataset=dict(ann_file='types/val.json', **typed))
# All typed slices but the test's are trained on: this tells how far they are learned, no more.
val_dataloader = dict(dataset=dict(ann_file='types/val.json', **typed))
test_dataloader = dict(dataset=dict(ann_file='types/test.json', **typed))

# each type's sensitivity at its own 0.5 to 16 false positives per image; the paper's table 4 has 3
val_evaluator = dict(ann_file=_base_.data_root + 'types/val.json', classwise=True)
test_evaluator = dict(ann_file=_base_.data_root + 'types/test.json', classwise=True)
