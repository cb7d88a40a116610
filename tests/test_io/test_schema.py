import subprocess
import sys
from pathlib import Path

import pytest

import mmlesion.io
from mmlesion.io.schema import is_ignored, is_target, make_annotation, make_image

MODULES = sorted(path.stem for path in Path(mmlesion.io.__file__).parent.glob('[!_]*.py'))
FRAMEWORKS = ('torch', 'mmcv', 'mmdet', 'mmengine')


@pytest.mark.parametrize(
    'fields, target, ignored',
    [
        ({}, True, False),
        ({'iscrowd': 0, 'ignore': 0, 'noisy': 0}, True, False),
        ({'noisy': 1}, False, False),
        ({'ignore': 1}, False, True),
        ({'iscrowd': 1}, False, True),
    ],
)
def test_noisy_findings_are_no_targets_but_are_evaluated(fields, target, ignored):
    assert (is_target(fields), is_ignored(fields)) == (target, ignored)


def test_an_image():
    image = make_image('a/007.png', (20, 30), (0.5, 0.6, 2.5), 7, (5, 9), patient_id=3)
    assert image == {
        'file_name': 'a/007.png',
        'height': 20,
        'width': 30,
        'spacing': [0.5, 0.6],
        'slice_interval': 2.5,
        'slice_index': 7,
        'slice_range': [5, 9],
        'windows': [[-175.0, 275.0]],
        'patient_id': 3,
    }


def test_an_annotation():
    annotation = make_annotation((1, 2, 3, 4), 12, lesion_type=5)
    assert annotation == {
        'bbox': [1, 2, 3, 4],
        'area': 12,
        'iscrowd': 0,
        'noisy': 0,
        'source': 'annotated',
        'lesion_type': 5,
    }


def test_fields_that_the_schema_does_not_have_are_refused():
    with pytest.raises(TypeError, match='Annotation has no field diameter'):
        make_annotation((1, 2, 3, 4), 12, diameter=3)
    with pytest.raises(TypeError, match='Image has no field patient'):
        make_image('a/1.png', (2, 3), (1, 1, 1), 1, (1, 1), patient=3)


def test_no_module_needs_a_framework():
    blocked = ''.join(f'sys.modules[{name!r}] = None; ' for name in FRAMEWORKS)
    modules = ', '.join(f'mmlesion.io.{name}' for name in MODULES)
    code = f'import sys; {blocked}import {modules}'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
