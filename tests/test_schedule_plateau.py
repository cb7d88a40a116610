"""x0.1 when mAP has not improved for 2 epochs in a row, stop when it has not for 4."""

from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS, PARAM_SCHEDULERS, init_default_scope

SCHEDULE = Path(__file__).parents[1] / 'configs' / '_base_' / 'schedules' / 'schedule_plateau.py'
MEAN_APS = [0.1, 0.2, 0.2, 0.19, 0.21, 0.2, 0.1, 0.0, 0.15]


def test_learning_rate_drops_at_the_second_epoch_without_improvement():
    init_default_scope('mmdet')
    cfg = Config.fromfile(SCHEDULE)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    (options,) = cfg.param_scheduler
    scheduler = PARAM_SCHEDULERS.build(dict(options, optimizer=optimizer))
    exponents = []
    for mean_ap in MEAN_APS:
        scheduler.step({'froc/mAP': mean_ap})
        exponents.append(round(torch.tensor(optimizer.param_groups[0]['lr']).log10().item()))
    assert exponents == [-4, -4, -4, -5, -5, -5, -6, -6, -7]


def test_stops_at_the_fourth_epoch_without_improvement():
    hook = HOOKS.build(Config.fromfile(SCHEDULE).early_stopping)
    runner = SimpleNamespace(train_loop=SimpleNamespace(stop_training=False), logger=None)
    runner.logger = SimpleNamespace(info=lambda text: None)
    runner.message_hub = MessageHub('plateau')
    stopped = []
    for mean_ap in MEAN_APS:
        hook.after_val_epoch(runner, {'froc/mAP': mean_ap})
        stopped.append(runner.train_loop.stop_training)
    assert stopped == [False] * 8 + [True]
