from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import pytest
from mmdet.registry import MODELS, TASK_UTILS, TRANSFORMS

from mmlesion.register import components
from mmlesion.utils import OptionError
from mmlesion.utils.mmdet_tools import explain
from mmlesion.utils.option_types import check_when_constructed


class Component:
    def __init__(
        self,
        size: 'int',
        share: 'float' = 0.5,
        window: 'tuple[float, float] | None' = None,
        names: 'Sequence[str]' = (),
        steps: 'Sequence[int | tuple[int, ...]]' = (1, 2),
        inner: 'dict | None' = None,
        flag: 'bool' = False,
        unchecked: 'np.ndarray | SomeClass' = None,  # noqa: F821
        **others: 'int',
    ) -> None:
        self.given = size, share, window, names, steps, inner, flag, unchecked, others


class Mixed:
    def __init__(
        self, rule: Optional[str] = 'less', keys: Union[str, Sequence[str]] = '', cfg: dict = None
    ) -> None:
        self.given = rule, keys, cfg


check_when_constructed(Component)
check_when_constructed(Mixed)


@pytest.mark.parametrize(
    'options',
    [
        dict(share=1),
        dict(share=np.float32(0.5), window=[0, 1.5]),
        dict(window=None, names=['a'], steps=[1, (2, 2, 2), [3]]),
        dict(inner=object(), unchecked='anything', others='anything'),
        dict(flag=True, share=float('inf')),
    ],
)
def test_what_fits_is_taken(options):
    component = Component(np.int64(4), **options)
    assert component.given[0] == 4 and options.get('share', 0.5) == component.given[1]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(size='4'), "Component: size is '4': give int"),
        (dict(size=4.0), 'Component: size is 4.0: give int'),
        (dict(size=True), 'Component: size is True: give int'),
        (dict(share=float('nan')), 'Component: share is nan: give float'),
        (dict(share=None), 'Component: share is None: give float'),
        (dict(window=(1,)), 'Component: window is (1,): give tuple[float, float] | None'),
        (dict(window=(1, 'b')), "Component: window is (1, 'b'): give tuple[float, float] | None"),
        (dict(names='abc'), "Component: names is 'abc': give Sequence[str]"),
        (dict(names={'a': 1}), "Component: names is {'a': 1}: give Sequence[str]"),
        (dict(steps=[1, (2, 'a')]), "steps is [1, (2, 'a')]: give Sequence[int | tuple[int, ...]]"),
        (dict(inner=[1]), 'Component: inner is [1]: give dict | None'),
        (dict(flag=1), 'Component: flag is 1: give bool'),
        (dict(size='x' * 99), f"Component: size is '{'x' * 79}: give int"),
    ],
)
def test_what_does_not_is_told(options, message):
    with pytest.raises(OptionError) as info:
        Component(**{'size': 4, **options})
    assert str(info.value).endswith(message)


def test_annotations_that_are_no_text():
    assert Mixed(None, ['a']).given == (None, ['a'], None)
    assert Mixed(cfg=None).given[2] is None  # the default, whatever it is annotated with
    for options in (dict(rule=1), dict(keys=1), dict(keys=[1]), dict(cfg=3)):
        with pytest.raises(OptionError, match=f'Mixed: {next(iter(options))} is '):
            Mixed(**options)


def test_missing_and_unknown_options():
    with pytest.raises(OptionError, match="Component: missing a required argument: 'size'"):
        Component()
    with pytest.raises(OptionError, match="Mixed: got an unexpected keyword argument 'ruel'"):
        Mixed(ruel='less')


def test_components_are_checked():
    assert len(list(components())) > 80
    for component in components():
        assert hasattr(component.__init__, '__wrapped__'), component


@pytest.mark.parametrize(
    'registry, cfg, message',
    [
        (MODELS, dict(type='FocusShiftLoss', gamma='5'), "gamma is '5': give float"),
        (MODELS, dict(type='HardNegativeLoss', num_hard=0.5), 'num_hard is 0.5: give int'),
        (MODELS, dict(type='LocalMagnification', crop_size=0), 'crop_size=0 voxels are magnified'),
        (TASK_UTILS, dict(type='SphereOverlaps3D', mode='box'), 'mode must be one of'),
        (
            TASK_UTILS,
            dict(type='UncertainIoUAssigner', pos_iou_thr='a', neg_iou_thr=0.3),
            "pos_iou_thr is 'a': give float",
        ),
        (
            TRANSFORMS,
            dict(type='RandomCTAffine', max_rotate_degree='5'),
            "max_rotate_degree is '5': give float",
        ),
        # what others refuse without a name
        (
            MODELS,
            dict(type='StemResNet', depth=18, norm_cfg=3),
            'must be a dict; check its opt',
        ),
        (MODELS, dict(type='StemResNet', depth=18, norm_cfg=3), 'depth=18, norm_cfg=3'),
        (
            MODELS,
            dict(type='AnchorFreeProposalHead', in_channels=4, loss_cls=dict(gamma=2)),
            'AnchorFreeProposalHead: loss_cls: `cfg` or `default_args` must contain the key "type"',
        ),
    ],
)
def test_a_line_names_component_option_and_value(registry, cfg, message):
    with pytest.raises(Exception) as info:
        registry.build(cfg)
    line = explain(info.value)
    assert line.startswith(f'{cfg["type"]}: ') and message in line
