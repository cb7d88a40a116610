# The phantom's eight types, as deeplesion_types.py has DeepLesion's: first
# `tools/dataset_converters/deeplesion.py --multi-type --out data/phantom/types`.
_base_ = './deeplesion_soft_tissue.py'

classes = (
    'bone',
    'abdomen',
    'mediastinum',
    'liver',
    'lung',
    'kidney',
    'soft_tissue',
    'pelvis',
)
typed = dict(metainfo=dict(classes=classes))

train_dataloader = dict(dataset=dict(ann_file='types/val.json', **typed))
val_dataloader = dict(dataset=dict(ann_file='types/val.json', **typed))
test_dataloader = dict(dataset=dict(ann_file='types/test.json', **typed))

val_evaluator = dict(ann_file=_base_.data_root + 'types/val.json', classwise=True)
test_evaluator = dict(ann_file=_base_.data_root + 'types/test.json', classwise=True)
