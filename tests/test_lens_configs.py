"""The rows of LENS' Table I: what sets them apart, and a step of training on all four layouts."""

import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.runner import Runner
from phantom import (
    PatientOptions,
    make_deeplesion_phantom,
    make_lits_phantom,
    make_luna16_phantom,
    make_nih_ln_phantom,
)

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
FOLDERS = {'densenet121': CONFIGS / 'lens', 'small': CONFIGS / 'phantom' / 'lens'}
NAMES = ['deeplesion', 'luna16', 'lits', 'nih_ln']
ROWS = {
    'densenet121': ['_1xb4-8e_deeplesion', '_deeplesion-expert_1xb4-8e_4datasets',
                    '_1xb4-8e_4datasets', '_mined_1xb4-8e_4datasets'],
    'small': ['_deeplesion-phantom', '_deeplesion-expert_phantom', '_phantom', '_mined_phantom'],
}  # fmt: skip
POOLED = '_data-pooling_1xb4-8e_4datasets.py'
SMALL = PatientOptions(size=128, slice_intervals=(5.0,))


def load(size, row):
    return Config.fromfile(FOLDERS[size] / f'lens_{size}{ROWS[size][row]}.py')


def training_sets(cfg):
    return cfg.train_dataloader.dataset.to_dict()['datasets']


@pytest.mark.parametrize('size', ROWS)
def test_rows(size):
    a, b, c, d = (load(size, row) for row in range(4))
    assert [one['dataset_name'] for one in training_sets(c)] == NAMES == list(c.model.datasets)
    assert len({one['data_root'] for one in training_sets(c)}) == 4
    assert all(one['filter_cfg'] == dict(filter_empty_gt=False) for one in training_sets(c))
    assert c.model.test_cfg.rcnn.experts is None

    assert list(a.model.datasets) == ['deeplesion'] and training_sets(a) == training_sets(c)[:1]
    assert b.model.test_cfg.rcnn.pop('experts') == ['deeplesion']
    c.model.test_cfg.rcnn.pop('experts')
    assert b.model == c.model and b.train_dataloader == c.train_dataloader

    mined, *others = training_sets(d)
    assert mined == dict(training_sets(c)[0], ann_file='train_mined.json')
    assert others == training_sets(c)[1:]
    for one in (a, b, d):
        assert one.test_dataloader == c.test_dataloader and one.val_evaluator == c.val_evaluator
    for tested in (c.val_dataloader.dataset, c.test_dataloader.dataset):
        assert tested.max_interval == 2.0
        assert {'slice_index', 'grid_steps'} <= set(tested.pipeline[-1].meta_keys)
    # of the test with flips
    assert 'grid_steps' in c.tta_pipeline[-1].transforms[-1][0].meta_keys


def test_the_papers_recipe():
    cfg = load('densenet121', 2)
    pipeline = {step['type']: step for step in training_sets(cfg)[0]['pipeline']}
    assert pipeline['LoadCTSlices']['num_slices'] == 9
    assert pipeline['LoadCTSlices']['slice_interval'] == 2
    assert pipeline['NormalizeSpacing']['spacing'] == 0.8
    assert tuple(pipeline['NormalizeSpacing']['ratio_range']) == (0.8, 1.2)
    assert pipeline['RandomCTAffine']['max_translate_px'] == 8
    assert tuple(map(tuple, pipeline['WindowHU']['windows'])) == ((-1024, 3071),)
    assert cfg.train_dataloader.batch_size == 4 and cfg.train_cfg.max_epochs == 8
    assert cfg.train_dataloader.sampler.positive_ratio == 2
    assert cfg.optim_wrapper.optimizer == dict(type='RAdam', lr=1e-4)
    # what MULAN's config adds
    assert pipeline['LoadCTSlices']['key_reach'] == 0.5
    assert pipeline['NormalizeSpacing']['max_size'] == 512
    test = {step['type']: step for step in cfg.test_dataloader.dataset.pipeline}
    assert 'key_reach' not in test['LoadCTSlices'] and test['NormalizeSpacing']['max_size'] == 512
    steps = [step['type'] for step in training_sets(cfg)[0]['pipeline']]
    assert steps.index('ClipBlackBorder') < steps.index('WindowHU'), 'its threshold is in HU'


@pytest.mark.parametrize('size, width', [('densenet121', 2048), ('small', 512)])
def test_mulans_values(size, width):
    model = load(size, 2).model
    assert 'fusion_indices' not in model.backbone.backbone  # TruncatedDenseNet's default
    assert model.roi_head.shared_head.fc_out_channels == width
    sampler, test = model.train_cfg.rcnn.sampler, model.test_cfg.rcnn
    assert (sampler.num, sampler.pos_fraction) == (64, 0.25)
    assert (test.score_thr, test.max_per_img) == (0.05, 50)


@pytest.mark.parametrize('head', ['fcos', 'rpn'])
def test_other_proposal_networks_take_a_step(data, head):
    """Table II, at the size of the phantom's configs."""
    row = CONFIGS / f'lens/lens_densenet121_mined_{head}-proposals_1xb4-8e_4datasets.py'
    own, cfg = Config.fromfile(row).model, load('small', 2)
    settings = dict(own.rpn_head, in_channels=64, feat_channels=32)
    cfg.model.update(rpn_head=settings, train_cfg=dict(cfg.model.train_cfg, rpn=own.train_cfg.rpn))
    model = MODELS.build(cfg.model)
    cfg.train_dataloader.update(num_workers=0, batch_size=2)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    (name,) = {sample.dataset_name for sample in batch['data_samples']}
    trained = {n for n, p in model.rpn_head.named_parameters() if p.grad is not None}
    assert trained and all(n.startswith(f'heads.{name}.') for n in trained)


def test_pooled_data_are_one_task():
    pooled, c = (
        Config.fromfile(FOLDERS['densenet121'] / f'lens_densenet121{POOLED}'),
        load('densenet121', 2),
    )
    assert {one['dataset_name'] for one in training_sets(pooled)} == {'deeplesion'}
    assert [one['data_root'] for one in training_sets(pooled)] == [
        one['data_root'] for one in training_sets(c)
    ]
    assert list(pooled.model.datasets) == ['deeplesion']


@pytest.mark.parametrize('size', ROWS)
def test_box_offsets_are_not_divided(size):
    coder = TASK_UTILS.build(load(size, 2).model.roi_head.bbox_head.bbox_coder)
    proposal, lesion = torch.tensor([[10.0, 10, 30, 20]]), torch.tensor([[12.0, 9, 32, 19]])
    assert coder.encode(proposal, lesion).tolist() == [pytest.approx([0.1, -0.1, 0, 0])]


@pytest.fixture
def data(tmp_path, monkeypatch, run_tool):
    """All four layouts, under the folder ``data``."""
    monkeypatch.chdir(tmp_path)
    make_deeplesion_phantom('data/phantom', (2, 1, 1), options=SMALL)
    images = ('--images', 'data/phantom/Images_png')
    flags = (*images, '--out', 'data/phantom')
    run_tool('dataset_converters/deeplesion.py', 'data/phantom/DL_info.csv', *flags)
    for split in ('val', 'test'):
        flags = (*images, '--out', f'data/phantom/manual_{split}.json')
        truth = ('--truth', 'data/phantom/truth')
        tool = 'dataset_converters/deeplesion_subvolumes.py'
        run_tool(tool, f'data/phantom/{split}.json', *flags, *truth)
    for tool, folder, make, options in (
        ('lits', 'lits_phantom', make_lits_phantom, SMALL),
        ('nih_ln', 'nih_ln_phantom', make_nih_ln_phantom, SMALL),
        ('luna16_slices', 'luna16_slices_phantom', make_luna16_phantom, None),
    ):
        make(f'data/{folder}/raw', (2, 0), options=options)
        flags = ('--out', f'data/{folder}', '--workers', 1)
        run_tool(f'dataset_converters/{tool}.py', f'data/{folder}/raw', *flags)
    return tmp_path


def test_a_step_on_each_dataset_and_stacked_results(data, monkeypatch):
    """Each batch is of one dataset; the result is what eval_froc.py lens reads."""
    cfg = load('small', 2)
    cfg.train_dataloader.update(num_workers=0, batch_size=2)
    model = MODELS.build(cfg.model)
    model.init_weights()
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    seen = {}
    for batch in loader:
        names = {sample.dataset_name for sample in batch['data_samples']}
        assert len(names) == 1
        if not names & seen.keys():
            losses = model(**model.data_preprocessor(batch, True), mode='loss')
            total, _ = model.parse_losses(losses)
            assert torch.isfinite(total)
            seen[names.pop()] = total
    assert sorted(seen) == sorted(NAMES)

    cfg.test_dataloader.update(num_workers=0)
    cfg.test_evaluator.outfile_prefix = 'out/froc'
    cfg.test_dataloader.dataset.indices = 3
    runner = Runner(
        model=model,
        work_dir=str(data / 'work'),
        test_dataloader=cfg.test_dataloader,
        test_cfg=cfg.test_cfg,
        test_evaluator=cfg.test_evaluator,
        default_scope='mmdet',
        experiment_name='lens',
    )
    metrics = runner.test()
    assert 'froc/mean' in metrics and 'froc/sens@0.125' in metrics
    written = json.loads((data / 'out' / 'froc.boxes3d.json').read_text())
    manual = json.loads((data / 'data' / 'phantom' / 'manual_test.boxes3d.json').read_text())
    assert written.keys() == manual.keys()
    assert all(len(row) == 7 for rows in written.values() for row in rows)
