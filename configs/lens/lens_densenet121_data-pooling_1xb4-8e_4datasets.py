# Table IV, data pooling: the four datasets as one task, with one proposal network and one expert.
_base_ = './lens_densenet121_1xb4-8e_4datasets.py'

pooled = dict(dataset_name='deeplesion')
model = dict(datasets=['deeplesion'])
train_dataloader = dict(
    dataset=dict(
        datasets=[
            _base_.deeplesion,
            dict(_base_.luna16, **pooled),
            dict(_base_.lits, **pooled),
            dict(_base_.nih_ln, **pooled),
        ]
    )
)
