import pytest
import torch
from torch import nn

from mmlesion.engine.checkpoint_content import check_fit
from mmlesion.utils import UserError


def make_model():
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


@pytest.mark.parametrize(
    'name, value, message',
    [
        ('0.weight', float('nan'), 'no finite numbers, the first 0.weight: its training has div'),
        ('0.bias', float('inf'), 'no finite numbers, the first 0.bias'),
        ('1.running_var', -float('inf'), 'no finite numbers, the first 1.running_var'),
        ('0.bias', torch.int64, 'torch.int64 for the weights 0.bias'),
    ],
)
@pytest.mark.parametrize('whole', [True, False])
def test_weights_are_finite_numbers(name, value, message, whole):
    state = make_model().state_dict()
    check_fit(make_model(), state, 'a.pth', whole)
    check_fit(make_model().half(), state, 'a.pth', whole)
    if isinstance(value, float):
        state[name][0] = value
    else:
        state[name] = state[name].to(value)
    with pytest.raises(UserError, match=f'the checkpoint a.pth has .*{message}'):
        check_fit(make_model(), dict(state_dict=state), 'a.pth', whole)
