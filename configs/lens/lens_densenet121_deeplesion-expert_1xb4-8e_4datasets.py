# Table I, row (b): four datasets, the detections of DeepLesion's expert alone. It trains as row (c)
# does, of which a checkpoint serves.
_base_ = './lens_densenet121_1xb4-8e_4datasets.py'

model = dict(test_cfg=dict(rcnn=dict(experts=['deeplesion'])))
