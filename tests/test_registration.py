"""mmdet's own tools/train.py trains a config that only imports mmlesion and names a part of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import mmdet
import numpy as np

import mmlesion
from mmlesion.engine import load_from_local

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
