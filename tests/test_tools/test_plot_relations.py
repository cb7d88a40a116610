import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config

from mmlesion.apis.inferencer import load_detector
from mmlesion.models import RelationBBoxHead
from mmlesion.utils.configs import load_config

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'tools/analysis_tools/plot_relations.py'
RELATIONS = 'phantom/elixirnet/elixirnet_r18_fpn_phantom.py'


@pytest.fixture
def tool(load_tool):
    return load_tool(SCRIPT)


@pytest.fixture
def write_config(ramp_dataset):
    """Write a config on two slices of 80 x 60 px with a lesion, and random weights for it."""
    for key in (5, 6):
        image = ramp_dataset.add_image(key=key, size=(60, 80))
        ramp_dataset.add_lesion(image['id'], [30, 20, 24, 16])
    ramp_dataset.write('test.json')

    def write(base, extra=''):
        config = ramp_dataset.root / 'config.py'
        root = str(ramp_dataset.root)
        config.write_text(
            f'_base_ = {str(ROOT / "configs" / base)!r}\n'
            f'test_dataloader = dict(dataset=dict(data_root={root!r}))\n{extra}'
        )
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(config).model)
        checkpoint = ramp_dataset.root / 'random.pth'
        torch.save(dict(state_dict=model.state_dict()), checkpoint)
        return config, checkpoint

    return write


def load(tool, config, checkpoint):
    cfg = load_config(config, {})
    model = load_detector(cfg, checkpoint, 'cpu')
    return model, DATASETS.build(cfg.test_dataloader.dataset)[0]


def test_relations_of_the_proposals(tool, write_config):
    model, item = load(tool, *write_config(RELATIONS))
    boxes, relation, binary_score = tool.find_relations(model, item)
    assert binary_score.shape == (len(boxes), 2)
    assert relation.shape == (len(boxes), len(boxes)) and len(boxes) > 50
    torch.testing.assert_close(relation.sum(1), torch.ones(len(boxes)))
    # resized from 80 x 60 to 256 x 192 px; back in the original's px
    assert 60 < boxes[:, 0::2].max() <= 80.01 and 40 < boxes[:, 1::2].max() <= 60.01
    assert boxes.min() >= 0


def test_pictures(write_config, run_tool, tmp_path, capsys):
    config, checkpoint = write_config(RELATIONS)
    out = tmp_path / 'out'
    settings = ['--regions', 10, '--edges', 5, '--num', 1, '--window', -600, 200, '--device', 'cpu']
    run_tool(SCRIPT, config, checkpoint, '--out', out, *settings)
    (path,) = out.iterdir()
    assert path.name == '000001_01_02_005.png'
    picture = cv2.imread(str(path)).astype(int)
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(80 / 60)
    red = (picture[..., 2] > 200) & (picture[..., :2].max(-1) < 60)
    y, x = np.nonzero(red)
    expected = np.array([30, 54, 20, 36]) * width / 80
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], expected, atol=4)
    cyan = (picture[..., :2].min(-1) > 200) & (picture[..., 2] < 80)
    assert 1 <= cv2.connectedComponents(cyan.astype(np.uint8))[0] - 1 <= 10
    # a px of the slice itself: HU 100 * 5 + 2 * y + x - 1000 in the window
    gray = picture[10, 10]
    assert gray == pytest.approx((500 - 1000 + 600) / 800 * 255, abs=2)
    told = capsys.readouterr()
    assert '1/1' in told.err
    assert re.search(r'same region: [\d.]+% of', told.out)
    assert re.search(r'f_E .* [\d.]+% of the mean', told.out)
    assert re.search(r'deviation 0\.\d+, after E 0\.\d+', told.out)


def test_relations_of_a_head_without_non_local(tool, write_config):
    model, item = load(tool, *write_config('phantom/elixirnet/faster-rcnn_r18_fpn_rtm_phantom.py'))
    boxes, relation, _ = tool.find_relations(model, item)
    assert relation.shape == (len(boxes), len(boxes))


def test_what_relations_tell_apart(tool):
    head = RelationBBoxHead(
        dict(type='FCEncoder'),
        dict(type='RelationTransferModule', out_channels=3),
        in_channels=2,
        roi_feat_size=1,
        fc_out_channels=4,
        num_classes=1,
    )
    score = torch.tensor([[3.0, 0], [0, 1], [0, 2]])
    with torch.no_grad():
        own = tool.tell_apart(head, torch.eye(3), score)
        shared = tool.tell_apart(head, torch.tensor([[0.1, 0.8, 0.1]] * 3), score)
    probability = score.softmax(1)[:, 0]
    assert own['same_region'] == pytest.approx(1 / 3)
    assert own['before'] == own['after'] == pytest.approx(probability.std().item())
    assert own['transferred'] > 0.01
    # three equal rows leave nothing that differs
    assert shared['same_region'] == 1 and shared['before'] == own['before']
    assert shared['transferred'] < 1e-6 and shared['after'] < 1e-6
    assert tool.tell_apart(head, torch.eye(3), None) == dict(same_region=pytest.approx(1 / 3))


NO_GRAPH = (
    "plain = [(0, 'skip_connect', 0, 'sep_conv_3x3')]\n"
    'model = dict(roi_head=dict(bbox_head=dict('
    'encoder=dict(genotypes=dict(alb=plain, reduction=plain)))))\n'
)


@pytest.mark.parametrize(
    'base, extra',
    [
        ('phantom/baselines/faster-rcnn_r18_fpn_phantom.py', ''),
        ('phantom/baselines/retinanet_r18_fpn_phantom.py', ''),
        ('phantom/elixirnet/faster-rcnn_r18_fpn_alb_phantom.py', NO_GRAPH),
    ],
)
def test_no_relations(write_config, run_tool, tmp_path, base, extra):
    config, checkpoint = write_config(base, extra)
    out = tmp_path / 'out'
    with pytest.raises(SystemExit, match='error: .*has no relations'):
        run_tool(SCRIPT, config, checkpoint, '--out', out)
    assert not out.exists()


def test_missing_checkpoint(write_config, run_tool, tmp_path):
    config, _ = write_config(RELATIONS)
    with pytest.raises(SystemExit, match='error: .*nowhere.pth does not exist'):
        run_tool(SCRIPT, config, 'nowhere.pth', '--out', tmp_path / 'out')


@pytest.mark.parametrize('options', [['--num', 0], ['--edges', 0], ['--window', 5, 5]])
def test_bad_options(run_tool, options):
    with pytest.raises(SystemExit) as error:
        run_tool(SCRIPT, 'config.py', 'weights.pth', '--out', 'out', *options)
    assert error.value.code == 2
