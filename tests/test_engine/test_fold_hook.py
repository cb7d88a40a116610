"""FoldHook and LesionRunner: the fold in checkpoints and in the work folder."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, RUNNERS
from mmengine.runner import Runner
from torch import nn

from mmlesion.engine.runner import fold_of
from mmlesion.utils import UserError

ROOT = Path(__file__).parents[2]


@MODELS.register_module()
class FoldModel(BaseModel):
    """The least that can be trained and tested."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x, mode='tensor'):
        loss = self.layer(torch.stack(x)).square().mean()
        return dict(loss=loss) if mode == 'loss' else [dict()]


@DATASETS.register_module()
class FoldData(list):
    """A data set that has a fold."""

    def __init__(self, fold):
        super().__init__([dict(x=torch.ones(1))] * 2)


def make_cfg(tmp_path, fold, **options):
    loader = dict(
        batch_size=2,
        dataset=dict(type='FoldData', fold=fold),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    cfg = dict(
        runner_type='LesionRunner',
        model=dict(type='FoldModel'),
        work_dir=str(tmp_path / 'run'),
        train_dataloader=loader,
        test_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        test_cfg=dict(),
        test_evaluator=[],
        custom_hooks=[dict(type='mmdet.FoldHook')],
        experiment_name=f'{tmp_path.name}-{fold}-{len(options)}',
    )
    return Config(dict(cfg, **options))


def make_runner(*args, **options):
    return RUNNERS.build(make_cfg(*args, **options))


@pytest.fixture
def checkpoint(tmp_path):
    """Of a run that tests fold 3."""
    make_runner(tmp_path, 3).train()
    return str(tmp_path / 'run' / 'epoch_1.pth')


def test_the_fold_is_in_the_checkpoint(checkpoint):
    assert torch.load(checkpoint, weights_only=False)['meta']['fold'] == [3]


def test_the_same_fold(tmp_path, checkpoint):
    make_runner(tmp_path, 3, load_from=checkpoint).test()
    train_cfg = dict(by_epoch=True, max_epochs=2)
    make_runner(tmp_path, 3, resume=True, train_cfg=train_cfg).train()
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()


@pytest.mark.parametrize('fold', [0, (3, 4)])
def test_another_fold_is_refused(tmp_path, checkpoint, fold):
    message = 'leaves out fold 3 .* this run tests fold'
    with pytest.raises(UserError, match=message):
        make_runner(tmp_path, fold, load_from=checkpoint).test()
    with pytest.raises(UserError, match=message):
        make_runner(tmp_path, fold, load_from=checkpoint).train()
    with pytest.raises(UserError, match=message):
        make_runner(tmp_path, fold, resume=True).train()


def test_a_checkpoint_without_a_fold_is_taken_with_a_warning(tmp_path, checkpoint, caplog):
    content = torch.load(checkpoint, weights_only=False)
    del content['meta']['fold']
    torch.save(content, checkpoint)
    with caplog.at_level('WARNING', logger='mmengine'):
        runner = make_runner(tmp_path, 3, load_from=checkpoint)
        runner.logger.addHandler(caplog.handler)
        runner.test()
    assert 'does not say which fold' in caplog.text


def test_parts_that_differ(tmp_path):
    cfg = make_cfg(tmp_path, 3)
    cfg.test_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=dict(fold=4))
    with pytest.raises(UserError, match='train_dataloader 3, test_dataloader 4'):
        fold_of(cfg)
    assert fold_of(Config(dict(train_dataloader=dict(dataset=dict())))) is None


@pytest.mark.parametrize(
    'fold, work_dir, expected',
    [
        (3, './work_dirs/rows', 'work_dirs/rows/fold3'),
        ((1, 0), 'work_dirs/rows', 'work_dirs/rows/fold0-1'),
        (3, './elsewhere/rows', 'elsewhere/rows'),
        (None, './work_dirs/rows', 'work_dirs/rows'),
    ],
)
def test_the_work_folder(tmp_path, monkeypatch, fold, work_dir, expected):
    """mmdet's tools set work_dir to work_dirs/<config> where it is not given."""
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(Runner, '__init__', lambda self, **options: seen.append(options))
    make_cfg(tmp_path, fold, work_dir=work_dir).dump('rows.py')
    RUNNERS.build(Config.fromfile('rows.py'))
    assert Path(seen[0]['work_dir']) == Path(expected)


def test_configs_of_luna16_name_their_fold(monkeypatch):
    for name, default in (
        ('aggregated_rcnn3d/rpn3d_dense-unet_4xb2-50e_luna16.py', [0]),
        ('phantom/aggregated_rcnn3d/rpn3d_dense-unet_luna16-phantom.py', [0, 1, 2, 3, 4]),
    ):
        monkeypatch.delenv('LUNA16_FOLD', raising=False)
        assert fold_of(Config.fromfile(ROOT / 'configs' / name)) == default
        monkeypatch.setenv('LUNA16_FOLD', '7')
        cfg = Config.fromfile(ROOT / 'configs' / name)
        assert fold_of(cfg) == [7] and cfg.runner_type == 'LesionRunner'
        assert cfg.default_hooks.checkpoint.save_best is None
