import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mmlesion.models import VGG
from mmlesion.utils import UserError

# where torchvision's vgg19 and vgg19_bn have their convolutions, and the outputs' channels
CONVS = {
    False: [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
    True: [0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49],
}
CHANNELS = [64, 64, 128, 128] + [256] * 4 + [512] * 8


def torchvision_names(with_bn):
    """Names and shapes of torchvision's weights, without the classifier."""
    shapes, before = {}, 3
    for place, channels in zip(CONVS[with_bn], CHANNELS):
        shapes[f'features.{place}.weight'] = (channels, before, 3, 3)
        shapes[f'features.{place}.bias'] = (channels,)
        if with_bn:
            for key in ('weight', 'bias', 'running_mean', 'running_var'):
                shapes[f'features.{place + 1}.{key}'] = (channels,)
            shapes[f'features.{place + 1}.num_batches_tracked'] = ()
        before = channels
    return shapes


def copy_channels(vgg):
    """Let every convolution hand on its channels as they are."""
    for module in vgg.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
            for i in range(module.out_channels):
                module.weight.data[i, i % module.in_channels, 1, 1] = 1
    return vgg


def test_outputs_are_those_of_the_five_poolings():
    vgg = copy_channels(VGG(depth=11)).eval()
    image = torch.rand(1, 3, 96, 64)
    outs = vgg(image)
    assert [out.shape[1] for out in outs] == [64, 128, 256, 512, 512]
    for i, out in enumerate(outs, 1):
        torch.testing.assert_close(out[:, :3], F.max_pool2d(image, 2**i))


def test_a_single_output_and_other_channels():
    vgg = copy_channels(VGG(depth=11, in_channels=9, out_indices=[1])).eval()
    image = torch.rand(2, 9, 32, 32)
    (out,) = vgg(image)
    torch.testing.assert_close(out[:, :9], F.max_pool2d(image, 4))


@pytest.mark.parametrize('with_bn', [False, True])
def test_torchvision_names(with_bn):
    state = VGG(with_bn=with_bn).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == torchvision_names(with_bn)


def test_loads_a_torchvision_file(tmp_path):
    weights = {name: torch.randn(shape) for name, shape in torchvision_names(False).items()}
    weights['classifier.6.bias'] = torch.zeros(1000)
    path = tmp_path / 'vgg19-dcbb9e9d.pth'
    torch.save(weights, path)
    vgg = MODELS.build(dict(type='VGG', init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    vgg.init_weights()
    for name, value in vgg.state_dict().items():
        assert torch.equal(value, weights[name])


@pytest.mark.parametrize(
    'weights, backbone, says',
    [
        (dict(with_bn=True), {}, '16 convolutions with batch'),
        ({}, dict(with_bn=True), '16 convolutions without batch'),
        (dict(depth=16), {}, '13 convolutions without batch'),
    ],
)
def test_weights_of_another_vgg_are_refused(tmp_path, weights, backbone, says):
    path = tmp_path / 'vgg.pth'
    torch.save(VGG(**weights).state_dict(), path)
    vgg = VGG(**backbone, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(UserError, match=f'a VGG of {says}'):
        vgg.init_weights()


def test_frozen_stages_and_norms():
    vgg = VGG(depth=11, with_bn=True, frozen_stages=2, norm_eval=True)
    # before train(), as several processes ask for what is frozen when the model is wrapped
    frozen = [name for name, p in vgg.named_parameters() if not p.requires_grad]
    # VGG-11 with normalization: two stages of one convolution and one normalization
    assert frozen == [f'features.{i}.{key}' for i in (0, 1, 4, 5) for key in ('weight', 'bias')]
    assert vgg.train() is vgg
    norms = [m for m in vgg.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 8 and not any(m.training for m in norms)
    scratch = VGG(depth=11, with_bn=True, norm_eval=False).train()
    assert all(m.training for m in scratch.modules())
