import pytest
import torch
from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmlesion.models.alb_search import SearchALBEncoder
from mmlesion.utils import UserError

WEIGHTS = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=3e-4))
ARCHITECTURE = dict(optimizer=dict(type='Adam', lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3))
CFG = dict(constructor='SearchOptimWrapperConstructor', weights=WEIGHTS, architecture=ARCHITECTURE)


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(3, 4, 1), SearchALBEncoder(4, channels=2))


def parameters(wrapper):
    return {id(p) for group in wrapper.param_groups for p in group['params']}


def test_two_optimizers_share_all_parameters(model):
    wrappers = build_optim_wrapper(model, CFG)
    weights, architecture = wrappers['weights'], wrappers['architecture']
    assert isinstance(weights.optimizer, torch.optim.SGD)
    assert isinstance(architecture.optimizer, torch.optim.Adam)
    assert parameters(architecture) == {id(p) for p in model[1].architecture.alphas.values()}
    assert parameters(weights) | parameters(architecture) == {id(p) for p in model.parameters()}
    assert not parameters(weights) & parameters(architecture)
    (group,) = architecture.param_groups
    assert (group['lr'], group['betas'], group['weight_decay']) == (3e-4, (0.5, 0.999), 1e-3)


def test_what_is_beside_both_is_for_both(model):
    wrappers = build_optim_wrapper(model, dict(CFG, accumulative_counts=2))
    assert [wrapper._accumulative_counts for wrapper in wrappers.values()] == [2, 2]
    own = dict(CFG, weights=dict(WEIGHTS, accumulative_counts=3), accumulative_counts=2)
    wrappers = build_optim_wrapper(model, own)
    assert [wrapper._accumulative_counts for wrapper in wrappers.values()] == [3, 2]


@pytest.mark.parametrize(
    'cfg, says',
    [
        (dict(weights=WEIGHTS), 'architecture=dict'),
        (dict(architecture=ARCHITECTURE), 'weights=dict'),
    ],
)
def test_missing_part(cfg, says):
    with pytest.raises(UserError, match=says):
        OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type='SearchOptimWrapperConstructor', optim_wrapper_cfg=cfg)
        )


def test_paramwise_and_a_model_without_architecture(model):
    with pytest.raises(UserError, match='paramwise_cfg'):
        build_optim_wrapper(model, dict(CFG, paramwise_cfg=dict(norm_decay_mult=0)))
    with pytest.raises(UserError, match='SearchALBEncoder'):
        build_optim_wrapper(model[0], CFG)
