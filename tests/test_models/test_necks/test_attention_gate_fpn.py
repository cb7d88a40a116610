import pytest
import torch
from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.structures import InstanceData

from mmlesion.models import AttentionGateFPN

OPTIONS = [
    dict(num_outs=4),
    dict(num_outs=6),
    dict(num_outs=5, start_level=1, add_extra_convs='on_input'),
    dict(num_outs=6, start_level=1, add_extra_convs='on_input', relu_before_extra_convs=True),
    dict(num_outs=5, add_extra_convs='on_lateral', upsample_cfg=dict(scale_factor=2)),
    dict(num_outs=6, add_extra_convs='on_output', upsample_cfg=dict(mode='bilinear')),
    dict(num_outs=2, start_level=1, end_level=2),
]


def make_inputs():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, 32 // 2**i, 48 // 2**i) for i, c in enumerate([3, 4, 5, 6]))


def set_gates(neck, bias):
    """Let every attention map be the sigmoid of ``bias`` everywhere."""
    for gate in neck.gates:
        torch.nn.init.zeros_(gate.map_conv.weight)
        torch.nn.init.constant_(gate.map_conv.bias, bias)


@pytest.mark.parametrize('options', OPTIONS)
def test_open_gates_make_it_an_fpn(options):
    plain = FPN([3, 4, 5, 6], 8, **options)
    gated = AttentionGateFPN([3, 4, 5, 6], 8, **options)
    missing = gated.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert all(name.startswith('gates.') for name in missing)
    set_gates(gated, 100.0)  # the sigmoid is exactly 1
    inputs = make_inputs()
    outs, expected = gated(inputs), plain(inputs)
    assert len(outs) == len(expected) == options['num_outs']
    assert all(map(torch.equal, outs, expected))


def test_closed_gates_let_only_the_coarsest_level_through():
    neck = AttentionGateFPN([3, 4, 5, 6], 8, num_outs=4)
    set_gates(neck, -1000.0)
    inputs = make_inputs()
    others = (*(torch.randn_like(x) for x in inputs[:3]), inputs[3])
    assert all(map(torch.equal, neck(inputs), neck(others)))


def test_the_gate_is_the_upsampled_coarser_level():
    neck = AttentionGateFPN([3, 4], 8, num_outs=2)
    fine, coarse = make_inputs()[:2]
    seen = []
    neck.gates[0].register_forward_hook(lambda module, args, out: seen.append((*args, out)))
    p2 = neck((fine, coarse))[0]
    ((skip, gate, gated),) = seen
    assert torch.equal(skip, neck.lateral_convs[0](fine))
    upsampled = neck.lateral_convs[1](coarse).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(gate, upsampled)
    assert torch.equal(p2, neck.fpn_convs[0](gated + upsampled))


def test_refuses_what_fpn_refuses():
    with pytest.raises(TypeError, match='gates'):
        AttentionGateFPN([3, 4], 8, num_outs=2, gates=True)
    with pytest.raises(ValueError, match='2 levels expected, but got 1'):
        AttentionGateFPN([3, 4], 8, num_outs=2)(make_inputs()[:1])


def test_drops_into_mmdets_stock_retinanet():
    register_all_modules()
    cfg = get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py').model
    cfg.backbone.init_cfg = None
    cfg.neck.type = 'AttentionGateFPN'
    model = MODELS.build(ConfigDict(cfg)).train()
    model.init_weights()
    assert isinstance(model.neck, AttentionGateFPN)
    truth = InstanceData(bboxes=torch.tensor([[10.0, 10, 80, 70]]), labels=torch.tensor([3]))
    sample = DetDataSample(metainfo=dict(img_shape=(128, 128), pad_shape=(128, 128)))
    sample.gt_instances = truth
    losses = model.loss(torch.randn(1, 3, 128, 128), [sample])
    assert losses.keys() == {'loss_cls', 'loss_bbox'}
    sum(sum(values) for values in losses.values()).backward()
    for gate in model.neck.gates:
        assert all(p.grad.abs().sum() > 0 for p in gate.parameters())
