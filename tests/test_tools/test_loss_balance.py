import json
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/analysis_tools/loss_balance.py'
OFFICIAL = ROOT.parent / 'shared/data/deeplesion_mini'
CONFIG = ROOT / 'configs/phantom/improved_retinanet/retinanet_r18_fpn_anchors-dense_phantom.py'


class TwoLosses(nn.Module):
    """Losses 3 x0 and, on two levels, x1 + 3 x1, and a value that is none."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 1, bias=False)
        self.backbone.weight.data[:] = torch.tensor([[2.0, 5.0]])
        self.data_preprocessor = lambda data, training: data

    def forward(self, mode):
        x = self.backbone.weight[0]
        return dict(loss_a=3 * x[:1], loss_b=[x[1:], 3 * x[1:]], accuracy=x.sum().detach())


def test_known_gradients(load_tool):
    model = TwoLosses()
    tool = load_tool(TOOL)
    found = tool.compare_losses(model, {}, tool.shared_parameters(model, 'backbone'))
    assert found == dict(loss_a=(6.0, 3.0, 0.75), loss_b=(20.0, 4.0, 4 / 3))


def test_medians(load_tool):
    tool = load_tool(TOOL)
    batches = [dict(loss=tool.LossGradient(*row)) for row in ((1, 5, 9), (2, 3, 1), (9, 4, 2))]
    assert tool.medians(batches) == dict(loss=(2, 4, 2))


@pytest.fixture
def measure(run_tool, ramp_dataset):
    """Run the tool on a slice of 64 px with two lesions, of which one has a mask."""
    image = ramp_dataset.add_image(size=(64, 64))
    outline = [[18, 18, 40, 18, 40, 36, 18, 36]]
    ramp_dataset.add_lesion(image['id'], [14, 14, 30, 26], segmentation=outline)
    ramp_dataset.add_lesion(image['id'], [40, 44, 12, 12])
    ramp_dataset.write('train_masks.json')
    out = ramp_dataset.root / 'balance.json'
    prefix = 'train_dataloader.'
    options = {
        f'{prefix}dataset.data_root': f'{ramp_dataset.root}/',
        f'{prefix}dataset.pipeline.3.scale': '(64,64)',
        f'{prefix}num_workers': 0,
        f'{prefix}batch_size': 1,
    }

    def run(*arguments, **extra):
        settings = [f'{key}={value}' for key, value in {**options, **extra}.items()]
        run_tool(TOOL, CONFIG, '--batches', 1, '--out', out, *arguments, '--cfg-options', *settings)
        return json.loads(out.read_text())

    return run


def test_a_gradient_grows_with_its_weight(measure, capsys):
    weight = 'model.seg_head.loss_seg.loss_weight'
    small, large = (measure(**{weight: value}) for value in (0.1, 0.4))
    assert small.keys() == {'loss_cls', 'loss_bbox', 'loss_seg'}
    assert small['loss_cls'] == large['loss_cls'] | dict(ratio=small['loss_cls']['ratio'])
    for key in ('value', 'norm', 'ratio'):
        assert large['loss_seg'][key] == pytest.approx(4 * small['loss_seg'][key], rel=1e-4)
    assert small['loss_seg']['norm'] > 0 and 'loss_seg' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['nowhere.py'], 'nowhere.py does not exist'),
        ([CONFIG, '--batches', 0], '--batches 0'),
        ([ROOT / 'configs/_base_/schedules/schedule_plateau.py'], 'no model and train_dataloader'),
    ],
)
def test_bad_input(run_tool, arguments, message):
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
        run_tool(TOOL, *arguments)


def test_a_part_that_is_not_there(load_tool):
    parts = load_tool(TOOL).shared_parameters
    with pytest.raises(Exception, match='no such module; it has backbone'):
        parts(TwoLosses(), 'neck')
    model = TwoLosses().requires_grad_(False)
    with pytest.raises(Exception, match='no parameter that is trained'):
        parts(model, 'backbone')


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f'{OFFICIAL} is not there')
def test_masks_do_not_outweigh_the_detection_on_real_slices(run_tool, tmp_path):
    """At a weight of 1 the masks' gradient is more than twice the detection's here."""
    images, converters = OFFICIAL / 'Images_png', 'dataset_converters'
    table = OFFICIAL / 'DL_info.csv'
    run_tool(f'{converters}/deeplesion.py', table, '--images', images, '--out', tmp_path)
    masks, out = tmp_path / 'train_masks.json', tmp_path / 'balance.json'
    val = tmp_path / 'val.json'
    run_tool(f'{converters}/recist_masks.py', val, '--images', images, '--out', masks)
    options = {
        'train_dataloader.dataset.data_root': f'{tmp_path}/',
        'train_dataloader.dataset.data_prefix.img': images,
        'train_dataloader.dataset.pipeline.3.scale': '(128,128)',
        'train_dataloader.num_workers': 0,
    }
    settings = [f'{key}={value}' for key, value in options.items()]
    run_tool(TOOL, CONFIG, '--batches', 3, '--out', out, '--cfg-options', *settings)
    ratio = json.loads(out.read_text())['loss_seg']['ratio']
    assert 0.1 < ratio < 1 and 10 * ratio > 2
