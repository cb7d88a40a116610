import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmlesion.models import ALBEncoder
from mmlesion.models.layers import DEFAULT_GENOTYPES
from mmlesion.utils import UserError

NO_RELATIONS = dict(DEFAULT_GENOTYPES, alb=[(0, 'skip_connect', 0, 'sep_conv_3x3')] * 4)


def test_sizes_of_the_paper():
    encoder = MODELS.build(dict(type='ALBEncoder'))
    assert encoder.conv.conv.weight.shape == (128, 256, 3, 3)
    assert encoder.alb.preprocess[0][0].conv.weight.shape == (32, 128, 1, 1)
    assert len(encoder.reductions) == 2
    assert encoder.out_channels == 512
    features, relations = encoder(torch.randn(5, 256, 7, 7), [2, 3])
    assert features.shape == (5, 512)
    assert [relation.shape for relation in relations] == [(2, 2), (3, 3)]


def test_the_blocks_in_a_row():
    torch.manual_seed(0)
    encoder = ALBEncoder(in_channels=6, channels=4).eval()
    x, num_regions = torch.randn(5, 6, 7, 7), [2, 3]
    start = encoder.conv.norm(encoder.conv.conv(x))
    block, of_block = encoder.alb(start, start, num_regions)
    first, _ = encoder.reductions[0](start, block, num_regions)
    second, _ = encoder.reductions[1](block, first, num_regions)
    shapes = [value.shape[1:] for value in (block, first, second)]
    assert shapes == [(16, 7, 7), (32, 4, 4), (64, 2, 2)]
    features, relations = encoder(x, num_regions)
    torch.testing.assert_close(features, second.clamp(min=0).mean((2, 3)))
    torch.testing.assert_close(relations, of_block)


def test_a_linear_layer_over_the_positions():
    torch.manual_seed(0)
    encoder = ALBEncoder(in_channels=6, channels=4, pool='linear').eval()
    x, num_regions = torch.randn(5, 6, 7, 7), [2, 3]
    pool, encoder.pool = encoder.pool, nn.Identity()
    positions = encoder(x, num_regions)[0]  # 64 channels of 2 x 2 positions
    encoder.pool = pool
    weight = pool[0].weight.flatten(1)
    assert weight.shape == (64, 64 * 2 * 2)
    expected = positions @ weight.T + pool[0].bias
    torch.testing.assert_close(encoder(x, num_regions)[0], expected.clamp(min=0))


def test_linear_tells_positions_apart_and_mean_does_not():
    torch.manual_seed(0)
    linear, mean = ALBEncoder(6, 4, pool='linear'), ALBEncoder(6, 4)
    last = torch.rand(1, 64, 2, 2)
    shifted = last.roll(1, dims=3)
    assert torch.allclose(mean.pool(last), mean.pool(shifted))
    assert not torch.allclose(linear.pool(last), linear.pool(shifted))


def test_an_image_does_not_change_another():
    torch.manual_seed(0)
    encoder = ALBEncoder(in_channels=6, channels=4).eval()  # in training BN sees the batch
    x = torch.randn(7, 6, 7, 7)
    before, _ = encoder(x, [3, 4])
    after, _ = encoder(torch.cat([x[:3], torch.randn(4, 6, 7, 7)]), [3, 4])
    assert torch.equal(before[:3], after[:3])
    assert (before[3:] != after[3:]).any()


def test_without_relations():
    encoder = ALBEncoder(in_channels=6, channels=2, num_reductions=1, genotypes=NO_RELATIONS)
    assert not encoder.with_relations
    assert encoder.out_channels == 16
    features, relations = encoder(torch.randn(3, 6, 7, 7), [3])
    assert features.shape == (3, 16)
    assert relations is None


def test_genotypes_of_a_config_fragment(tmp_path):
    (tmp_path / 'genotypes.py').write_text(f'genotypes = {NO_RELATIONS!r}')
    (tmp_path / 'config.py').write_text(
        "_base_ = './genotypes.py'\n"
        "encoder = dict(type='ALBEncoder', in_channels=6, channels=2, genotypes=_base_.genotypes)"
    )
    encoder = MODELS.build(Config.fromfile(tmp_path / 'config.py').encoder)
    assert encoder.alb.inputs == [(0, 0)] * 4
    assert not encoder.with_relations


def test_wrong_pool():
    with pytest.raises(UserError, match="'linear' or 'mean', not 'max'"):
        ALBEncoder(pool='max')


def test_wrong_genotypes():
    with pytest.raises(UserError, match=r"'alb' and 'reduction', not {'alb': "):
        ALBEncoder(genotypes=dict(alb=DEFAULT_GENOTYPES['alb']))
    wrong = dict(DEFAULT_GENOTYPES, reduction=[(0, 'none', 3, 'none')])
    with pytest.raises(UserError, match='input 3 is not one of -1 to 0'):
        MODELS.build(dict(type='ALBEncoder', genotypes=wrong))
