import logging
import pickle

import pytest
from mmdet.registry import DATA_SAMPLERS, MODELS, TRANSFORMS, VISUALIZERS
from torch._utils import ExceptionWrapper

from mmlesion.utils import OptionError, UserError
from mmlesion.utils.errors import explain


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


def caught(function, *args, **kwargs):
    with pytest.raises(Exception) as info:
        function(*args, **kwargs)
    return info.value


def test_message_from_a_worker_keeps_its_own_lines():
    try:
        raise UserError('a.png: bad\nsee b: c')
    except UserError:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    assert explain(caught(wrapper.reraise)) == 'a.png: bad\nsee b: c'


def test_missing_file():
    assert 'no/such.json' in explain(caught(open, 'no/such.json'))


def test_an_unknown_component():
    assert explain(caught(MODELS.build, dict(type='NoHead'))).startswith('NoHead is not in')


def test_other_errors_are_not_the_users():
    for error in (caught([].index, 1), caught({}.__getitem__, 'key'), caught(int, 'a')):
        assert explain(error) is None
    assert explain(caught(MODELS.build, dict(type='TruncatedRPNHead', treshold=1))) is None
