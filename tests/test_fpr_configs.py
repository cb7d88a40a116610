"""Table I, row (e): the papers' recipe, and the network from proposals to a score."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from phantom import PatientOptions, make_deeplesion_phantom

ROOT = Path(__file__).parents[1]
PAPER, SMALL = (
    ROOT / 'configs' / name
    for name in ('lens/fpr_r18-3d_1xb32-6e_deeplesion.py', 'phantom/lens/fpr_small_phantom.py')
)

DEEPLESION = 'dataset_converters/deeplesion.py'
SUB_VOLUMES = 'dataset_converters/deeplesion_subvolumes.py'


def test_the_papers_recipe():
    cfg = Config.fromfile(PAPER)
    assert cfg.optim_wrapper.optimizer == dict(type='RAdam', lr=2e-4)
    assert cfg.train_cfg.max_epochs == 6 and cfg.param_scheduler[0].milestones == [2, 4]
    assert cfg.param_scheduler[0].gamma == 0.1
    assert cfg.train_dataloader.batch_size == 32
    assert cfg.train_dataloader.sampler == dict(type='ProposalRatioSampler', negative_ratio=2)
    assert cfg.train_dataloader.dataset.ann_file == 'train_mined.json'
    backbone = cfg.model.backbone
    assert backbone.depth == 18 and tuple(backbone.kernel_depths) == (1, 1, 1, 3)
    assert backbone.init_cfg == dict(type='Pretrained', checkpoint='torchvision://resnet18')
    load = cfg.train_dataloader.dataset.pipeline[0]
    assert (load.slice_interval, load.spacing) == (2.0, 0.8)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    hu = torch.tensor([-1024, 3071, -1024 + 30 * 4095 / 255])
    torch.testing.assert_close(preprocessor.window(hu)[2], torch.tensor(0.0), atol=1e-5, rtol=0)
    spread = preprocessor.window(hu)[1] - preprocessor.window(hu)[0]
    torch.testing.assert_close(spread, torch.tensor(255 / 31))


@pytest.fixture
def data(tmp_path, monkeypatch, run_tool):
    """A phantom under ``data/phantom`` with proposals: true boxes, and others that are not."""
    monkeypatch.chdir(tmp_path)
    folder = Path('data/phantom')
    options = PatientOptions(size=128, slice_intervals=(5.0,))
    make_deeplesion_phantom(folder, (1, 1, 1), options=options)
    images = ('--images', folder / 'Images_png')
    run_tool(DEEPLESION, folder / 'DL_info.csv', *images, '--out', folder)
    rng = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        out, truth = folder / f'manual_{split}.json', ('--truth', folder / 'truth')
        options = (*images, *truth, '--out', out)
        run_tool(SUB_VOLUMES, folder / f'{split}.json', *options)
        boxes = json.loads(out.read_text())['sub_volumes']
        rows = {
            name: [row for box in found for row in ([*box, 0.4, 1], [*elsewhere(box, rng), 0.6, 0])]
            for name, found in boxes.items()
        }
        labeled = split == 'train'
        name = 'proposals_train.json' if labeled else f'proposals_{split}.boxes3d.json'
        rows = {key: [row[: 7 + labeled] for row in found] for key, found in rows.items()}
        (folder / name).write_text(json.dumps(rows))
    (folder / 'train.json').rename(folder / 'train_mined.json')
    return tmp_path


def elsewhere(box, rng):
    """A box of the same size anywhere on its slices."""
    x1, y1, z1, x2, y2, z2 = box
    x, y = rng.integers(0, 100, 2).tolist()
    return [x, y, z1, x + x2 - x1, y + y2 - y1, z2]


def test_from_proposals_to_a_score(data):
    """The loss of a batch falls; a test gives the same boxes with the average of both scores."""
    cfg = Config.fromfile(SMALL)
    cfg.train_dataloader.update(num_workers=0, batch_size=6)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    labels = [sample.proposal_label for sample in batch['data_samples']]
    assert set(labels) == {0, 1}
    losses = [float(model.train_step(batch, wrapper)['loss']) for _ in range(12)]
    assert losses[-1] < 0.6 * losses[0]

    cfg.test_dataloader.update(num_workers=0)
    cfg.test_evaluator.outfile_prefix = 'out/fpr'
    runner = Runner(
        model=model,
        work_dir=str(data / 'work'),
        test_dataloader=cfg.test_dataloader,
        test_cfg=cfg.test_cfg,
        test_evaluator=cfg.test_evaluator,
        default_scope='mmdet',
        experiment_name='fpr',
    )
    assert 'froc/mean' in runner.test()
    before = json.loads((data / 'data/phantom/proposals_test.boxes3d.json').read_text())
    after = json.loads((data / 'out/fpr.boxes3d.json').read_text())
    assert before.keys() == after.keys() and any(before.values())
    for name, rows in before.items():
        first, second = (np.reshape(one[name], (-1, 7)) for one in (before, after))
        np.testing.assert_array_equal(first[:, :6], second[:, :6])
        own = 2 * second[:, 6] - first[:, 6]
        assert ((own > 0) & (own < 1)).all()
        assert len(rows) < 2 or np.ptp(own) > 0
