"""mmlesion registers its components when mmdet is used, in any order of imports, and not before.

mmdet's own tools/train.py trains a config that only imports mmlesion and names a part of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

import mmlesion
from mmlesion.engine import load_from_local
from mmlesion.registration import register_when_used

CONFIG = """
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmlesion'])
model = dict(rpn_head=dict(type='TruncatedRPNHead'))
"""

# so that it takes seconds on a CPU, and needs no network
SMALL = """
model['backbone'] = dict(init_cfg=None, depth=18, frozen_stages=-1)
model['neck'] = dict(in_channels=[64, 128, 256, 512])
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='ROOT',
        ann_file='train.json',
        data_prefix=dict(img='images'),
        pipeline=pipeline,
    ),
)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
train_cfg = dict(max_epochs=1, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
"""


def write_coco(root):
    """Two pictures of 64 px with a bright square each, as a COCO data set."""
    (root / 'images').mkdir()
    images, annotations = [], []
    for i in (1, 2):
        picture = np.random.default_rng(i).integers(0, 80, (64, 64, 3), dtype=np.uint8)
        picture[20:44, 16:40] = 200
        cv2.imwrite(str(root / 'images' / f'{i}.png'), picture)
        images.append(dict(id=i, file_name=f'{i}.png', height=64, width=64))
        box = dict(bbox=[16, 20, 24, 24], area=576, iscrowd=0, category_id=1)
        annotations.append(dict(id=i, image_id=i, **box))
    categories = [dict(id=1, name='person')]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'train.json').write_text(json.dumps(content))


def test_mmdet_train_tool_with_truncated_rpn(tmp_path):
    write_coco(tmp_path)
    config = tmp_path / 'config.py'
    config.write_text(CONFIG + SMALL.replace('ROOT', str(tmp_path)))
    tool = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py'
    done = subprocess.run(
        [sys.executable, tool, config, '--work-dir', tmp_path / 'run'],
        capture_output=True,
        encoding='utf-8',
        timeout=300,
        cwd=tmp_path,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    scalars = next((tmp_path / 'run').glob('*/vis_data/scalars.json')).read_text()
    losses = [json.loads(line)['loss'] for line in scalars.splitlines()]
    assert len(losses) == 2 and np.isfinite(losses).all()
    state = load_from_local(str(tmp_path / 'run' / 'epoch_1.pth'))['state_dict']
    assert state['rpn_head.rpn_confidence.weight'].shape == (1, 256, 1, 1)


def _environment():
    root = str(Path(mmlesion.__file__).parent.parent)
    return dict(os.environ, PYTHONPATH=root, OMP_NUM_THREADS='1')


LIGHT = """
import sys
import mmlesion
import mmlesion.froc
import mmlesion.io.schema
import mmlesion.structures
frameworks = {'torch', 'mmcv', 'mmdet', 'mmengine', 'matplotlib'} & set(sys.modules)
assert not frameworks, frameworks
"""
# what a program does with mmlesion, each in a process of its own
PROGRAMS = dict(
    mmlesion_first=LIGHT
    + """
from mmdet.registry import MODELS
assert 'mmlesion.models' not in sys.modules  # until the registry is asked
assert MODELS.get('TruncatedRPNHead').__module__.startswith('mmlesion.models')
assert 'TruncatedRPNHead' in MODELS and 'NoSuchHead' not in MODELS
from mmdet.structures.bbox import get_box_type
assert get_box_type('sphere')[1] is mmlesion.structures.spheres.SphereBoxes
""",
    mmdet_first="""
from mmdet.registry import MODELS
import mmlesion
assert 'TruncatedRPNHead' in MODELS.module_dict
""",
    a_registry_that_was_used_before="""
from mmengine.registry import RUNNERS
assert RUNNERS.get('LesionRunner') is None
import mmlesion
assert RUNNERS.get('LesionRunner') is mmlesion.engine.LesionRunner
""",
    a_room_first="""
from mmlesion.datasets import CTSliceDataset
from mmdet.registry import DATASETS, MODELS
assert DATASETS.get('CTSliceDataset') is CTSliceDataset and MODELS.get('LENS')
""",
    a_config_after_a_light_import=LIGHT
    + """
from mmengine.config import Config
config = Config.fromfile('config.py')
from mmengine.registry import MODELS, init_default_scope
init_default_scope(config.default_scope)
assert type(MODELS.build(config.loss)).__name__ == 'FocusShiftLoss'
""",
    another_version_of_mmdet="""
import mmdet
mmdet.__version__ = '4.0.0'
import mmlesion
try:
    from mmdet.registry import MODELS
except ImportError as error:
    assert 'mmdet>=3.3.0,<4.0.0, not 4.0.0' in str(error)
else:
    raise AssertionError('it was imported')
""",
    a_spawned_worker="""
import multiprocessing, pickle
from mmlesion.datasets.transforms import WindowHU

def build(transform):
    import mmlesion.io.schema
    from mmdet.registry import TRANSFORMS
    return transform, TRANSFORMS.build(dict(type='NormalizeSpacing', spacing=1.0)).spacing

if __name__ == '__main__':
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        transform, spacing = pool.apply(build, [WindowHU([(0, 1)])])
    assert isinstance(transform, WindowHU) and transform.windows == ((0, 1),) and spacing == 1
""",
)
CONFIG_OF_A_LOSS = """
custom_imports = dict(imports=['mmlesion'])
default_scope = 'mmdet'
loss = dict(type='FocusShiftLoss')
"""


@pytest.mark.parametrize('name', PROGRAMS)
def test_components_are_there_when_they_are_looked_for(name, tmp_path):
    (tmp_path / 'program.py').write_text(PROGRAMS[name])
    (tmp_path / 'config.py').write_text(CONFIG_OF_A_LOSS)
    done = subprocess.run(
        [sys.executable, 'program.py'],
        capture_output=True,
        encoding='utf-8',
        timeout=300,
        cwd=tmp_path,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize('version, fits', [('3.2.0', False), ('3.3.0', True), ('4.0.0', False)])
def test_version_of_mmdet(monkeypatch, version, fits):
    monkeypatch.setattr(mmdet, '__version__', version)
    if fits:
        register_when_used()
    else:
        with pytest.raises(ImportError, match=f'needs mmdet>=3.3.0,<4.0.0, not {version}'):
            register_when_used()


BACKBONE = """
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import nn


@MODELS.register_module()
class MyBackbone(BaseModule):
    def __init__(self, in_channels=3, init_cfg=None):
        super().__init__(init_cfg)
        self.stages = nn.ModuleList(
            nn.Conv2d(in_channels, 8, 3, stride, 1) for stride in (4, 8, 16, 32)
        )

    def forward(self, x):
        return tuple(stage(x) for stage in self.stages)
"""
CONFIG_OF_A_BACKBONE = """
_base_ = 'BASE'
custom_imports = dict(imports=['mmlesion', 'my_project_backbone'])
model = dict(
    backbone=dict(_delete_=True, type='MyBackbone'),
    neck=dict(in_channels=[8, 8, 8, 8]),
)
"""


def test_a_backbone_of_ones_own_needs_no_file_of_mmlesion(tmp_path, monkeypatch):
    """The files of docs/architecture.md."""
    base = (
        Path(__file__).parents[1]
        / 'configs/baselines/faster-rcnn_r50_fpn_trpn_4xb2-1x_deeplesion.py'
    )
    (tmp_path / 'my_project_backbone.py').write_text(BACKBONE)
    (tmp_path / 'config.py').write_text(CONFIG_OF_A_BACKBONE.replace('BASE', str(base)))
    monkeypatch.syspath_prepend(tmp_path)
    model = MODELS.build(Config.fromfile(tmp_path / 'config.py').model)
    assert type(model.backbone).__name__ == 'MyBackbone'
    shapes = [level.shape for level in model.extract_feat(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(1, 256, side, side) for side in (16, 8, 4, 2, 1)]
