# ElixirNet's parts for faster-rcnn_r18_fpn_small.py: half of D and E, so that P is 256, as many
# channels as that model's fully connected layers have.
_base_ = './elixirnet_parts.py'

# in short trainings boxes are located better than by a mean over the positions
alb = dict(channels=16, pool='linear')
rtm = dict(out_channels=64)
alb_head = dict(bbox_head=dict(encoder=alb))
rtm_head = dict(bbox_head=dict(relation_transfer=rtm))
alb_rtm_head = dict(bbox_head=dict(encoder=alb, relation_transfer=rtm))
