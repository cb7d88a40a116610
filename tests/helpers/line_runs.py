"""Runs of a second: a line through points, by a Runner, perhaps broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader


class Line(BaseModel):
    """A line whose loss has noise, as the samplers of mmdet's losses draw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        return dict(loss=(self.layer(x) - 3 * x + torch.rand_like(x)).square().mean())


class Kill(Hook):
    """End a run as Ctrl-C does, after its second epoch."""

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 2:
            raise KeyboardInterrupt


def line_runner(kind: type[Runner], work_dir: Path, **options: Any) -> Runner:
    """A runner of four epochs of two steps."""
    torch.manual_seed(0)
    data = [dict(x=torch.full((1,), float(i))) for i in range(8)]
    return kind(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(data, batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9)),
        randomness=dict(seed=0),
        experiment_name=str(work_dir),
        **options,
    )
