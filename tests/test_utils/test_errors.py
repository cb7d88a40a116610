import logging
import math
import pickle

import pytest
from mmdet.registry import DATA_SAMPLERS, MODELS, TRANSFORMS, VISUALIZERS

from mmlesion.utils import OptionError, UserError, check_draws, check_range
from mmlesion.utils.errors import MAX_DRAWS


class Component:
    pass


def test_an_option_error_names_the_component():
    error = OptionError('size must be positive', Component())
    assert str(error) == 'Component: size must be positive'
    assert isinstance(error, UserError) and isinstance(error, ValueError)


def test_it_comes_back_from_another_process():
    error = pickle.loads(pickle.dumps(OptionError('size must be positive', Component())))
    assert type(error) is OptionError and str(error) == 'Component: size must be positive'


@pytest.mark.parametrize(
    'registry, cfg, option',
    [
        (MODELS, dict(type='VolumeDataPreprocessor', hu_window=(5, 5)), 'hu_window'),
        (MODELS, dict(type='InflatedResNet3D', kernel_depths=(1, 1)), 'kernel_depths'),
        (MODELS, dict(type='TruncatedDenseNet', fusion_indices=(7,)), 'fusion_indices'),
        (MODELS, dict(type='GroupedSliceBackbone', backbone={}, num_groups=0), 'num_groups'),
        (TRANSFORMS, dict(type='NormalizeSpacing', spacing=0), 'spacing'),
        (TRANSFORMS, dict(type='LoadCTSlices', num_slices=2), 'num_slices'),
        (TRANSFORMS, dict(type='RandomLesionCrop', lesion_share=2), 'lesion_share'),
        (TRANSFORMS, dict(type='WindowHU', windows=[(3, 3)]), 'windows'),
        (DATA_SAMPLERS, dict(type='PatientHalfSampler', dataset=[], half=2), 'half'),
        (VISUALIZERS, dict(type='LesionLocalVisualizer', name='a', window=(3, 3)), 'window'),
    ],
)
def test_components_name_themselves_and_the_option(registry, cfg, option):
    with pytest.raises(OptionError, match=f'{cfg["type"]}: .*{option}'):
        registry.build(cfg)


def test_warnings_cannot_control_a_terminal(caplog):
    logging.getLogger('mmlesion').warning('taking %s', '\x1b]0;owned\x07 \u202e\udce9')
    assert caplog.messages == ['taking \\x1b]0;owned\\x07 \\u202e\\udce9']


@pytest.mark.parametrize('value', [1, 2.5, 4])
def test_numbers_in_the_range(value):
    check_range('--size', value, 1, 4)


@pytest.mark.parametrize('value', [0, 4.1, math.nan, math.inf, 10**400, 'x', None, [1]])
def test_others(value):
    with pytest.raises(UserError, match=r'--size is .*: give 1 to 4'):
        check_range('--size', value, 1, 4)


def test_without_a_highest_number():
    check_range('--size', 10**12, 1)
    for value in (math.inf, math.nan, 0):
        with pytest.raises(UserError, match='give at least 1'):
            check_range('--size', value, 1)


def test_draws():
    check_draws('--draws', MAX_DRAWS)
    with pytest.raises(UserError, match='--draws is 1000000000000: give 1 to 1e\\+06'):
        check_draws('--draws', 10**12, 1)
