# ElixirNet's schedule, "Implementation Details": 4 GPUs x 2 images, 12 epochs, SGD with a learning
# rate of 0.02. The text lowers it "three times (x0.01)" and names no epochs; mmdet's two steps of
# 0.1, after epochs 8 and 11, end at the same x0.01.
_base_ = 'mmdet::_base_/schedules/schedule_1x.py'

auto_scale_lr = dict(enable=False, base_batch_size=8)
