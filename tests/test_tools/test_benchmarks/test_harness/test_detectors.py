from harness.detectors import without_pretrained
from mmengine.config import Config


def test_weights_to_download_are_left_out_everywhere():
    pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    kaiming = dict(type='Kaiming')
    cfg = Config(
        dict(a=dict(init_cfg=pretrained), b=[dict(init_cfg=pretrained), 1], init_cfg=kaiming)
    )
    plain = without_pretrained(cfg._cfg_dict)
    assert plain == dict(a=dict(init_cfg=None), b=[dict(init_cfg=None), 1], init_cfg=kaiming)
    assert cfg.a.init_cfg == pretrained
