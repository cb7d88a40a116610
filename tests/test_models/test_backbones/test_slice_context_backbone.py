"""Pretrained 2D backbones keep their function, and slices see each other."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import nn

from mmlesion.models import A3DConv, I3DConv, SliceContextBackbone, TSMConv
from mmlesion.utils import UserError


@MODELS.register_module()
class DownsampledFirst(BaseModule):
    """Register, as ConvNeXt does, all layers between stages before the stages."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.downsample = nn.ModuleList(
            [nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 16, 2, 2), nn.Conv2d(16, 16, 2, 2)]
        )
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
                for width in (8, 16, 16)
            ]
        )

    def forward(self, x):
        outs = []
        for downsample, stage in zip(self.downsample, self.stages):
            x = stage(downsample(x))
            outs.append(x)
        return outs


# blocks that begin as the identity would hide what is in them
RESNET = dict(
    type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_eval=False,
    zero_init_residual=False,
)  # fmt: skip
BACKBONES = dict(
    resnet=RESNET,
    bottlenecks=dict(RESNET, depth=50),
    caffe=dict(RESNET, style='caffe', deep_stem=True),
    resnext=dict(type='ResNeXt', depth=50, groups=4, base_width=4, base_channels=8),
    regnet=dict(type='RegNet', arch='regnetx_400mf', norm_eval=False),
    densenet=dict(type='TruncatedDenseNet', block_layers=(2, 2, 2), growth_rate=8),
    hrnet=dict(
        type='HRNet',
        extra={
            f'stage{i}': dict(
                num_modules=1, num_branches=i, block='BASIC' if i > 1 else 'BOTTLENECK',
                num_blocks=(1,) * i, num_channels=(8, 16, 32, 64)[:i] if i > 1 else (8,),
            )
            for i in (1, 2, 3, 4)
        },
    ),
    convnext=dict(
        type='mmpretrain.ConvNeXt',
        arch=dict(depths=[1, 1, 2, 1], channels=[8, 16, 24, 32]),
        out_indices=(0, 1, 2, 3),
        gap_before_final_norm=False,
        layer_scale_init_value=1.0,
    ),
    downsampled_first=dict(type='DownsampledFirst'),
)  # fmt: skip
OPERATORS = ('A3D', 'AlignShift', 'TSM', 'I3D')


def seen(model):
    """The 2D network whose normalization has seen something."""
    torch.manual_seed(0)
    model.init_weights()
    for _ in range(2):
        model(torch.rand(2, 3, 64, 64) * 2 - 1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)  # not zero at the ends of blocks
    model.eval()
    return model


@pytest.fixture(scope='module', params=BACKBONES)
def flat(request, tmp_path_factory):
    """A 2D network, its config, and a file of its weights."""
    cfg = dict(BACKBONES[request.param])
    if cfg['type'].startswith('mmpretrain.'):
        pytest.importorskip('mmpretrain', reason='ConvNeXt is of mmpretrain, which is not required')
    model = seen(MODELS.build(cfg))
    path = tmp_path_factory.mktemp('weights') / f'{request.param}.pth'
    torch.save(model.state_dict(), path)
    return model, dict(cfg, init_cfg=dict(type='Pretrained', checkpoint=str(path)))


def loaded(cfg, **options):
    model = SliceContextBackbone(cfg, **options)
    model.init_weights()
    return model.eval()


def with_distance(slices, mm):
    return torch.cat([slices, torch.full_like(slices[:, :1], mm)], 1)


@pytest.mark.parametrize('conv', (*OPERATORS, 'ACS'))
def test_operators_are_initialized_as_the_convolutions_that_they_replace(conv):
    flat = MODELS.build(RESNET)
    model = SliceContextBackbone(RESNET, conv=conv)
    for part in (flat, model):
        torch.manual_seed(0)
        part.init_weights()
    for name in model.converted:
        weight = model.backbone.get_parameter(f'{name}.weight')
        if conv == 'I3D':  # three times the weights: Kaiming's deviation by their number
            fan_out = weight[:, 0].numel()
            assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15)
        else:
            assert torch.equal(weight, flat.get_parameter(f'{name}.weight'))


@torch.no_grad()
def check_equal(outs, expected):
    assert len(outs) == len(expected)
    for out, wanted in zip(outs, expected):
        torch.testing.assert_close(out, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('conv', OPERATORS)
def test_pretrained_networks_keep_their_function_on_equal_slices(conv, flat):
    model, cfg = flat
    gray = torch.rand(2, 1, 64, 64) * 2 - 1
    context = loaded(cfg, conv=conv, num_slices=3)
    with torch.no_grad():
        check_equal(
            context(with_distance(gray.expand(-1, 3, -1, -1), 3.0)),
            model(gray.expand(-1, 3, -1, -1)),
        )


def test_a3d_begins_as_the_2d_network_of_the_key_slice(flat):
    model, cfg = flat
    slices = torch.rand(1, 7, 64, 64) * 2 - 1
    with torch.no_grad():
        expected = model(slices[:, 3:4].expand(-1, 3, -1, -1))
        check_equal(loaded(cfg, conv='A3D', num_slices=7)(slices), expected)
        noisy = loaded(cfg, conv=dict(type='A3DConv', noise=0.1), num_slices=7)(slices)
    assert not torch.allclose(noisy[-1], expected[-1], atol=1e-3)


@pytest.mark.parametrize('conv', ['AlignShift', 'TSM', 'I3D', 'ACS'])
def test_the_key_slice_depends_on_its_neighbors(conv):
    model = loaded(RESNET, conv=conv, num_slices=3)
    slices = torch.rand(1, 3, 64, 64)
    others = slices.clone()
    others[:, 2] = torch.rand(1, 64, 64)
    with torch.no_grad():
        outs, changed = (model(with_distance(image, 2.0)) for image in (slices, others))
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(outs, changed))


def test_alignshift_takes_the_distance_of_each_image():
    model = loaded(RESNET, conv='AlignShift', num_slices=3)
    image = torch.rand(1, 3, 64, 64)
    thin, thick = with_distance(image, 2.0), with_distance(image, 5.0)
    with torch.no_grad():
        both = model(torch.cat([thin, thick]))
        check_equal(model(thick), [out[1:] for out in both])
    assert all((out[0] - out[1]).abs().max() > 1e-4 for out in both)
    with pytest.raises(UserError, match='SliceContextDataPreprocessor'):
        model(image)


def names(model, kind):
    return [name for name, module in model.backbone.named_modules() if isinstance(module, kind)]


def test_what_is_converted():
    resnet = SliceContextBackbone(dict(RESNET, depth=50), conv='TSM')
    assert names(resnet, TSMConv) == [
        name for name, conv in resnet.backbone.named_modules()
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)
    ]  # fmt: skip
    assert len(names(resnet, TSMConv)) == 16
    dense = BACKBONES['densenet']
    assert all(name.endswith('conv2') for name in names(SliceContextBackbone(dense), A3DConv))
    as_the_papers = names(SliceContextBackbone(dense, convs='denselayer'), A3DConv)
    assert len(as_the_papers) == 12
    assert not any('conv0' in name or 'transition' in name for name in as_the_papers)


def test_frozen_stages_stay_frozen():
    model = SliceContextBackbone(dict(RESNET, frozen_stages=1))
    first, second = model.backbone.layer1[0].conv1, model.backbone.layer2[0].conv1
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert all(parameter.requires_grad for parameter in second.parameters())


def test_deformable_convolutions_are_left():
    dcn = dict(type='DCNv2', deform_groups=1, fallback_on_stride=False)
    cfg = dict(RESNET, depth=50, dcn=dcn, stage_with_dcn=(False, True, True, True))
    model = SliceContextBackbone(cfg)
    assert len(names(model, A3DConv)) == 3  # of stage 1


@pytest.mark.parametrize('fuse', ['center', 'mean', 'attention', 'concat'])
def test_fusions(fuse):
    model = loaded(RESNET, fuse=fuse, num_slices=3)
    with torch.no_grad():
        features = model.backbone(
            torch.rand(2, 3, 64, 64).reshape(6, 1, 64, 64).expand(-1, 3, -1, -1)
        )
    x = features[1].unflatten(0, (2, 3))
    fused = model.fusion(x)
    expected = dict(center=x[:, 1], mean=x.mean(1), concat=torch.cat(tuple(x.unbind(1)), 1))
    if fuse == 'attention':
        x = x + 1e-3
        units = x / x.norm(dim=2, keepdim=True)
        weights = (units * units[:, 1:2]).sum(2, keepdim=True).softmax(1)
        torch.testing.assert_close(model.fusion(x), (weights * x).sum(1))
    else:
        torch.testing.assert_close(fused, expected[fuse])


def test_every_parameter_of_the_operators_learns():
    model = SliceContextBackbone(RESNET, fuse='attention', num_slices=3)
    sum(out.square().mean() for out in model(torch.rand(2, 3, 64, 64))).backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    learned = [name for name in grads if 'mixing' in name or 'scale' in name]
    assert len(learned) == 17
    for name in learned:
        assert grads[name].abs().sum() > 0, name


def test_what_is_converted_of_convnext():
    pytest.importorskip('mmpretrain', reason='ConvNeXt is of mmpretrain, which is not required')
    convnext = BACKBONES['convnext']
    samplings = [f'downsample_layers.{level}.1' for level in (1, 2, 3)]
    blocks = [f'stages.{block}.depthwise_conv' for block in ('0.0', '1.0', '2.0', '2.1', '3.0')]
    assert names(SliceContextBackbone(convnext, conv='TSM'), TSMConv) == samplings + blocks
    only_blocks = SliceContextBackbone(convnext, conv='I3D', convs='depthwise')
    assert names(only_blocks, I3DConv) == blocks
    with pytest.raises(UserError, match='needs 3 output channels in a group, but got 1'):
        SliceContextBackbone(convnext, conv='ACS', convs='depthwise')


def test_swin_has_nothing_to_convert():
    swin = dict(type='SwinTransformer', embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
    with pytest.raises(UserError, match='SwinTransformer has no convolution to convert'):
        SliceContextBackbone(swin)
    model = SliceContextBackbone(swin, conv=None, fuse='concat', num_slices=3).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.backbone(image[:, 1:2].expand(-1, 3, -1, -1))
        check_equal([out.chunk(3, 1)[1] for out in model(image)], expected)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(conv='TSN'), "conv='TSN' is not one of A3D, AlignShift, TSM, I3D, ACS"),
        (dict(fuse='max'), "fuse='max' is not one of center"),
        (dict(convs='denselayer'), "whose name matches 'denselayer'"),
    ],
)
def test_wrong_options_say_what_to_do(options, message):
    with pytest.raises(UserError, match=message):
        SliceContextBackbone(RESNET, **options)


def test_wrong_numbers_of_slices():
    with pytest.raises(ValueError, match='odd and positive'):
        SliceContextBackbone(RESNET, num_slices=4)
    model = SliceContextBackbone(RESNET, num_slices=7)
    with pytest.raises(UserError, match=r'images of 7 slices, but got 3.*num_slices=7'):
        model(torch.rand(1, 3, 32, 32))


def test_i3d_inflates_the_weights_of_a_file(tmp_path):
    weights = MODELS.build(RESNET)
    nn.init.constant_(weights.layer1[0].conv1.weight, 0.75)
    torch.save(weights.state_dict(), tmp_path / 'resnet.pth')
    cfg = dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth')))
    model = loaded(cfg, conv='I3D')
    conv = model.backbone.layer1[0].conv1
    assert isinstance(conv, I3DConv) and conv.weight.shape == (8, 8, 3, 3, 3)
    torch.testing.assert_close(conv.weight, torch.full_like(conv.weight, 0.25))


@torch.no_grad()
@pytest.mark.parametrize('num_slices', [3, 7])
def test_neighbors_in_the_stem_begin_as_three_slices_as_channels(num_slices):
    torch.manual_seed(0)
    flat = MODELS.build(RESNET)
    flat.eval()
    model = SliceContextBackbone(RESNET, num_slices=num_slices, stem_input='neighbors').eval()
    model.backbone.load_state_dict(flat.state_dict(), strict=False)
    images = torch.rand(2, num_slices, 64, 64)
    key = num_slices // 2
    expected = flat(images[:, key - 1 : key + 2])
    check_equal(model(images), expected)
    other = images.clone()
    other[:, [key - 1, key + 1]] = 0.0
    assert not torch.allclose(model(other)[0], expected[0], atol=1e-2)
    # three key slices with seven slices in common are computed at once as one by one
    volume = torch.rand(num_slices + 2, 64, 64)
    windows = torch.stack([volume[i : i + num_slices] for i in range(3)])
    apart = model(windows)
    model.share_features(1)
    check_equal(model(windows), apart)


def test_slices_outside_an_image_are_its_outermost():
    model = SliceContextBackbone(RESNET, num_slices=5, stem_input='neighbors')
    images = torch.arange(5.0).view(1, 5, 1, 1)
    assert model._separate(images)[..., 0, 0].tolist() == [
        [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4],
    ]  # fmt: skip


def test_neighbors_need_an_odd_number_of_channels():
    with pytest.raises(UserError, match='in_channels=4'):
        SliceContextBackbone(dict(RESNET, in_channels=4), stem_input='neighbors')
    with pytest.raises(UserError, match="stem_input='all' is not slice or neighbors"):
        SliceContextBackbone(RESNET, stem_input='all')


@pytest.mark.parametrize(
    'name, convs',
    [
        ('bottlenecks', None), ('densenet', 'denselayer'), ('hrnet', None), ('resnet', 'layer[34]'),
        ('downsampled_first', None), ('downsampled_first', r'stages\.0|downsample\.2'),
    ],
)  # fmt: skip
def test_layers_before_the_first_operator_see_a_slice_once(name, convs):
    """Three key slices of a volume, whose windows of three slices have five slices together."""
    torch.manual_seed(0)
    cfg = dict(type='A3DConv', noise=0.5)
    model = SliceContextBackbone(BACKBONES[name], conv=cfg, convs=convs, num_slices=3).eval()
    volume = torch.rand(5, 64, 64)
    images = torch.stack([volume[i : i + 3] for i in range(3)])
    seen_slices = []
    stem = next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))
    hook = stem.register_forward_pre_hook(lambda module, x: seen_slices.append(len(x[0])))
    with torch.no_grad():
        expected = model(images)
        model.share_features(1)
        check_equal(model(images), expected)
        model.share_features(0)
        model(images[:1])
    hook.remove()
    assert seen_slices == [9, 5, 3]


@torch.no_grad()
@pytest.mark.parametrize('stem_input, computed', [('slice', 9), ('neighbors', 9 + 2 * 4)])
def test_without_operators_features_are_kept_from_batch_to_batch(stem_input, computed):
    """Five key slices of a volume, whose windows of five slices have nine slices together."""
    torch.manual_seed(0)
    options = dict(conv=None, num_slices=5, fuse='concat', stem_input=stem_input)
    model = SliceContextBackbone(RESNET, **options).eval()
    volume = torch.rand(9, 64, 64)
    images = torch.stack([volume[i : i + 5] for i in range(5)])
    expected = model(images)
    # the last batch has four of its five slices from the one before; with neighbors in the stem a
    # slice at a window's end is another one than inside of it
    model.share_features(12)
    batches = [model(batch) for batch in images.split(2)]
    check_equal([torch.cat(level) for level in zip(*batches)], expected)
    assert model.cache.computed == computed
    model.train()
    model(images[:1])
    assert model.cache.computed == computed
    model.share_features(0)
    assert model.cache is None


def test_features_with_gradients_are_not_kept():
    model = SliceContextBackbone(RESNET, conv=None, fuse='concat').eval()
    model.share_features(8)
    assert model(torch.rand(1, 3, 64, 64))[0].requires_grad and model.cache.computed == 0


@torch.no_grad()
def test_features_are_kept_by_option():
    torch.manual_seed(0)
    model = SliceContextBackbone(RESNET, conv=None, fuse='concat', feature_cache=8).eval()
    images = torch.rand(1, 3, 64, 64)
    first = model(images)
    assert torch.equal(model(images)[-1], first[-1]) and model.cache.computed == 3
    model.load_state_dict(model.state_dict())  # weights may have changed
    model(images)
    assert model.cache.computed == 6


def test_a_cache_of_fewer_than_no_slices():
    with pytest.raises(UserError, match='feature_cache must be 0 or more slices, not -1'):
        SliceContextBackbone(RESNET, conv=None, feature_cache=-1)
