import pytest
import torch
from mmdet.registry import MODELS

from mmlesion.models import GroupedSliceBackbone, TruncatedDenseNet

NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
SMALL = dict(block_layers=(1, 2, 1), growth_rate=4, stem_channels=8)


def norm(name, channels):
    return {f'{name}.{key}': () if 'num' in key else (channels,) for key in NORM}


def torchvision_densenet121():
    """Names and shapes of torchvision's state dict, by the rule of its densenet.py."""
    names = {'features.conv0.weight': (64, 3, 7, 7), **norm('features.norm0', 64)}
    channels = 64
    for block, num_layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, num_layers + 1):
            prefix = f'features.denseblock{block}.denselayer{layer}'
            names.update(norm(f'{prefix}.norm1', channels))
            names[f'{prefix}.conv1.weight'] = (128, channels, 1, 1)
            names.update(norm(f'{prefix}.norm2', 128))
            names[f'{prefix}.conv2.weight'] = (32, 128, 3, 3)
            channels += 32
        if block < 4:
            prefix = f'features.transition{block}'
            names.update(norm(f'{prefix}.norm', channels))
            names[f'{prefix}.conv.weight'] = (channels // 2, channels, 1, 1)
            channels //= 2
    names.update(norm('features.norm5', channels))
    names.update({'classifier.weight': (1000, channels), 'classifier.bias': (1000,)})
    return names


def test_the_rule_is_that_of_torchvision():
    assert sum(torch.Size(shape).numel() for name, shape in torchvision_densenet121().items()
               if 'running' not in name and 'num_batches' not in name) == 7_978_856  # fmt: skip


def test_weights_have_torchvisions_names_and_shapes():
    ours = {name: tuple(v.shape) for name, v in TruncatedDenseNet().state_dict().items()}
    cut = ('features.transition3', 'features.denseblock4', 'features.norm5', 'classifier')
    expected = torchvision_densenet121()
    assert ours == {name: shape for name, shape in expected.items() if not name.startswith(cut)}


@pytest.mark.parametrize('old_names', [False, True])
def test_init_cfg_loads_torchvisions_file(tmp_path, old_names):
    torch.manual_seed(0)
    weights = {name: torch.rand(shape) for name, shape in torchvision_densenet121().items()}
    stored = dict(weights)
    if old_names:  # those of the published file
        for name in [name for name in weights if 'denselayer' in name]:
            old = name
            for part in ('norm', 'conv'):
                old = old.replace(f'.{part}1.', f'.{part}.1.').replace(f'.{part}2.', f'.{part}.2.')
            stored[old] = stored.pop(name)
        assert 'features.denseblock1.denselayer1.norm.1.weight' in stored
    torch.save(stored, tmp_path / 'densenet121.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'densenet121.pth'))
    net = MODELS.build(
        dict(
            type='GroupedSliceBackbone',
            backbone=dict(type='TruncatedDenseNet', num_groups=3, init_cfg=init_cfg),
        )
    )
    net.init_weights()
    for name, value in net.backbone.state_dict().items():
        if not name.startswith('fusions') and 'num_batches' not in name:
            assert torch.equal(value, weights[name]), name


def test_outputs_of_the_paper():
    with torch.no_grad():
        outs = TruncatedDenseNet().eval()(torch.zeros(1, 3, 64, 48))
    assert [tuple(out.shape[1:]) for out in outs] == [(256, 16, 12), (512, 8, 6), (1024, 4, 3)]


def test_a_dense_layer_by_hand():
    net = TruncatedDenseNet(**SMALL).eval()
    layer = net.features.denseblock1.denselayer1
    x = torch.randn(1, 8, 5, 5)
    hidden = torch.einsum('oi,nihw->nohw', layer.conv1.weight[..., 0, 0], x.clamp(min=0))
    scale = (1 + 1e-5) ** -0.5  # batch normalization by running statistics of 0 and 1
    hidden = (hidden * scale**2).clamp(min=0)
    grown = torch.nn.functional.conv2d(hidden, layer.conv2.weight, padding=1)
    torch.testing.assert_close(layer(x.clone()), torch.cat([x, grown], 1))


def grouped(**options):
    torch.manual_seed(0)
    backbone = dict(type='TruncatedDenseNet', num_groups=3, **SMALL, **options)
    return GroupedSliceBackbone(backbone).eval()


def test_fusion_begins_as_the_central_group():
    torch.manual_seed(1)
    x = torch.randn(2, 9, 32, 32)
    fused, plain = grouped(), grouped(fusion_indices=())
    assert list(fused.backbone.fusions) == ['2'], "MULAN's FEATURE_FUSION_LEVELS"
    for out, expected in zip(fused(x), plain(x)):
        torch.testing.assert_close(out, expected)


def test_fusion_replaces_the_central_group_alone():
    net = grouped(fusion_indices=(1,)).backbone
    fusion = net.fusions['1']
    torch.nn.init.normal_(fusion.weight)
    torch.nn.init.normal_(fusion.bias)
    x = torch.randn(6, fusion.out_channels, 4, 4)
    out = fusion(x)
    for image in range(2):
        first, _, last = (slice(3 * image + i, 3 * image + i + 1) for i in range(3))
        torch.testing.assert_close(out[first], x[first])
        torch.testing.assert_close(out[last], x[last])
        pixel = x[3 * image : 3 * image + 3, :, 2, 1].flatten()
        expected = fusion.weight[:, :, 0, 0] @ pixel + fusion.bias
        torch.testing.assert_close(out[3 * image + 1, :, 2, 1], expected)


def test_other_slices_change_the_central_groups_deeper_features_by_fusion():
    torch.manual_seed(1)
    x = torch.randn(1, 9, 32, 32)
    other = x.clone()
    other[:, 8] += 1
    net = grouped(fusion_indices=(1,))
    torch.nn.init.normal_(net.backbone.fusions['1'].weight)
    middle = [out.chunk(3, 1)[1] for out in net(x)]
    changed = [out.chunk(3, 1)[1] for out in net(other)]
    assert torch.allclose(middle[0], changed[0])
    assert not torch.allclose(middle[1], changed[1])


def test_unknown_stages_are_refused():
    with pytest.raises(ValueError, match='from 0 to 2'):
        TruncatedDenseNet(fusion_indices=(3,))


@pytest.mark.parametrize('norm_eval', [False, True])
def test_norm_eval_keeps_the_statistics(norm_eval):
    net = TruncatedDenseNet(norm_eval=norm_eval, **SMALL).train()
    net(torch.randn(2, 3, 32, 32))
    assert bool(net.features.norm0.running_mean.any()) is not norm_eval
