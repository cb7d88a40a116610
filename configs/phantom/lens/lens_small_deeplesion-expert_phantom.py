# Row (b): the detections of DeepLesion's expert alone. It trains as row (c) does, of which a
# checkpoint serves.
_base_ = './lens_small_phantom.py'

model = dict(test_cfg=dict(rcnn=dict(experts=['deeplesion'])))
