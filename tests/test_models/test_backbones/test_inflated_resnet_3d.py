import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.runner import load_state_dict
from torch import nn

from mmlesion.models import InflatedConv3d

STRIDES, WIDTH = (4, 8, 16, 32), 8


def build(**options):
    return MODELS.build(dict(type='InflatedResNet3D', base_channels=WIDTH, **options))


@pytest.fixture
def flat():
    """A 2D ResNet-18 whose normalization has seen something."""
    torch.manual_seed(0)
    model = ResNet(18, base_channels=WIDTH, norm_eval=False, zero_init_residual=False)
    model.init_weights()
    for _ in range(3):
        model(torch.rand(4, 3, 64, 64) * 2 - 1)
    model.eval()
    return model


def test_pretrained_weights_are_inflated(flat, tmp_path):
    """On slices that are all equal it is the 2D network, where block 4 does not see the ends."""
    path = tmp_path / 'resnet18.pth'
    torch.save(flat.state_dict(), path)
    model = build(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    model.eval()
    gray = torch.rand(2, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        expected = flat(gray.expand(-1, 3, -1, -1))
        outs = model(gray[:, :, None].expand(-1, -1, 9, -1, -1))
    for level, (out, wanted) in enumerate(zip(outs, expected)):
        side = 64 // STRIDES[level]
        assert out.shape == (2, WIDTH * 2**level, 9, side, side)
        # four filters of three slices reach four slices far
        seen = out if level < 3 else out[:, :, 4:5]
        torch.testing.assert_close(
            seen,
            wanted[:, :, None].expand_as(seen),
            rtol=1e-4,
            atol=1e-4 * float(wanted.abs().max()),
        )
    assert (outs[3][:, :, 0] - outs[3][:, :, 4]).abs().max() > 1e-3 * outs[3].abs().max()


def test_block_4_alone_sees_neighboring_slices(flat):
    model = build()
    load_state_dict(model, flat.state_dict(), strict=True)
    model.eval()
    volume = torch.rand(1, 1, 9, 64, 64)
    changed = volume.clone()
    changed[:, :, 0] += 1
    with torch.no_grad():
        pairs = list(zip(model(volume), model(changed)))
    for first, second in pairs[:3]:
        assert (first[:, :, 0] != second[:, :, 0]).any()
        torch.testing.assert_close(first[:, :, 1:], second[:, :, 1:])
    first, second = pairs[3]
    differs = (first != second).flatten(3).any(-1).any(1).any(0)
    assert differs.tolist() == [True] * 5 + [False] * 4


def test_kernels_are_the_papers():
    model = build()
    depths = {
        name: {
            m.kernel_size for m in getattr(model, name).modules() if isinstance(m, InflatedConv3d)
        }
        for name in ('layer1', 'layer2', 'layer3', 'layer4')
    }
    assert depths['layer1'] == {(1, 3, 3)}
    assert depths['layer2'] == depths['layer3'] == {(1, 3, 3), (1, 1, 1)}
    assert depths['layer4'] == {(3, 3, 3), (1, 1, 1)}
    assert model.conv1.kernel_size == (1, 7, 7)


def test_weights_by_hand():
    conv = InflatedConv3d(1, 1, 3, bias=False, padding=1, depth=3)
    color = torch.arange(27.0).view(1, 3, 3, 3)
    load_state_dict(conv, dict(weight=color), strict=True)
    assert conv.weight.shape == (1, 1, 3, 3, 3)
    # 0 + 9 + 18 over three slices
    assert conv.weight[0, 0, :, 0, 0].tolist() == [9, 9, 9]
    assert conv.weight[0, 0, :, 2, 2].tolist() == [17, 17, 17]
    again = InflatedConv3d(1, 1, 3, bias=False, padding=1, depth=3)
    load_state_dict(again, conv.state_dict(), strict=True)  # its own stay as they are
    torch.testing.assert_close(again.weight, conv.weight)


def test_from_random_weights():
    torch.manual_seed(0)
    model = build()
    model.init_weights()
    scale = model.layer4[1].conv2.weight.std().item() * (8 * WIDTH * 9) ** 0.5
    assert scale == pytest.approx(2**0.5 / 3**0.5, rel=0.1)  # Kaiming's of 3 x 3 x 3
    assert all((m.weight == 1).all() for m in model.modules() if isinstance(m, nn.BatchNorm3d))


def test_errors():
    with pytest.raises(ValueError, match='one for each ResBlock'):
        build(kernel_depths=(1, 3))
    with pytest.raises(ValueError, match='odd'):
        build(kernel_depths=(1, 1, 1, 2))
