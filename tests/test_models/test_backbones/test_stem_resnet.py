import pytest
import torch
from mmdet.models.backbones import ResNet

from mmlesion.models import StemResNet


@pytest.mark.parametrize('deep_stem', [False, True])
def test_adds_the_stem_to_resnet(deep_stem):
    plain, with_stem = ResNet(18, deep_stem=deep_stem), StemResNet(18, deep_stem=deep_stem)
    with_stem.load_state_dict(plain.state_dict())
    plain.eval(), with_stem.eval()
    image = torch.rand(1, 3, 64, 96)
    c1, *stages = with_stem(image)
    assert all(map(torch.equal, stages, plain(image))) and len(stages) == 4
    assert c1.shape == (1, 64, 32, 48) and c1.min() == 0
    assert torch.equal(plain.layer1(plain.maxpool(c1)), stages[0])
