"""mmengine's runner with what a run of mmlesion needs beyond it."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import distributed, nn

from mmlesion.io.atomic import atomic_write
from mmlesion.utils import UserError
from mmlesion.utils.configs import innermost_dataset

from .checkpoint_content import check_fit
from .checkpoints import find_latest_checkpoint

PARTS = ('train', 'val', 'test')


@RUNNERS.register_module(name=['LesionRunner', 'CPURunner', 'FoldRunner'])
class LesionRunner(Runner):
    """mmengine's runner with five differences.

    - Several processes work without a GPU, by gloo. ``model_wrapper_cfg`` and
      ``find_unused_parameters`` of the config mean the same as on GPUs.
    - The work folder that the tools name after a config becomes ``work_dirs/<config>/fold<k>``
      where the config tests a fold, so that folds do not overwrite each other's checkpoints.
    - Checkpoints are written atomically.
    - ``--resume`` continues from the newest checkpoint that is whole.
    - A checkpoint of another model is refused: always where a model is tested or a training
      resumed. A training may begin with part of another model's weights, but not with none.

    ``CPURunner`` and ``FoldRunner`` are earlier names.
    """

    _load_from: str | None
    _needs_whole = False
    _resumes = False

    @classmethod
    def from_cfg(cls, cfg: Config) -> LesionRunner:
        """Build a runner from a config, in the work folder of its fold."""
        fold = fold_of(cfg)
        of_config = Path('work_dirs', Path(cfg.filename or '').stem)
        if fold is not None and Path(cfg.work_dir) == of_config:
            cfg = copy.deepcopy(cfg)
            cfg.work_dir = str(of_config / f'fold{fold_name(fold)}')
        return super().from_cfg(cfg)

    def setup_env(self, env_cfg: dict) -> None:
        """Prepare processes; without a GPU by gloo, as mmengine's launcher needs a CUDA device."""
        if self.launcher == 'pytorch' and get_device() == 'cpu':
            if not distributed.is_initialized():
                distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap a model for several processes, for no device where there is none."""
        if get_device() != 'cpu' or not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        # mmengine's defaults where there is no model_wrapper_cfg
        cfg = model_wrapper_cfg or dict(
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False),
        )
        return super().wrap_model(dict(cfg, device_ids=None), model)

    def val(self) -> dict:
        """Validate with a checkpoint that fits the model."""
        self._needs_whole = True
        return super().val()

    def test(self) -> dict:
        """Test with a checkpoint that fits the model."""
        self._needs_whole = True
        return super().test()

    def load_or_resume(self) -> None:
        """Load a checkpoint, or resume from one: from the newest whole one if none is named."""
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from = find_latest_checkpoint(self.work_dir)
            if self._load_from is not None:
                self.logger.info(f'Auto resumed from the latest checkpoint {self._load_from}.')
        super().load_or_resume()

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Load a checkpoint into the model.

        Raises:
            UserError: If it does not fit the model, or is to be resumed from but has no state of a
                training, or one past the end of this one.
        """
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        check_fit(model, checkpoint, filename, self._needs_whole or self._resumes)
        if self._resumes:
            self._check_training(checkpoint, filename)
        return checkpoint

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume a training from a checkpoint; see :meth:`load_checkpoint`."""
        self._resumes = True
        try:
            super().resume(filename, *args, **kwargs)
        finally:
            self._resumes = False

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint; under its name there is never a part of one.

        Raises:
            OutputError: If it cannot be written; what was there before stays.
        """
        backend = get_file_backend(out_dir, backend_args=kwargs.get('backend_args'))
        if not isinstance(backend, LocalBackend):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with atomic_write(Path(out_dir, filename)) as path:
            super().save_checkpoint(out_dir, path.name, *args, **kwargs)
            with path.open('rb') as file:
                # else a power cut may keep the new name and lose what it stands for
                os.fsync(file.fileno())

    def _check_training(self, checkpoint: dict, path: str) -> None:
        meta = checkpoint.get('meta') or {}
        if not {'epoch', 'iter'} <= meta.keys() or 'optimizer' not in checkpoint:
            raise UserError(
                f'the checkpoint {path} has no state of a training to resume: give it as load_from '
                'instead, to begin one with its weights'
            )
        loop = self.train_loop
        # a training by iterations would skip all batches, and epochs end by themselves
        if isinstance(loop, IterBasedTrainLoop) and meta['iter'] > loop.max_iters:
            raise UserError(
                f'the checkpoint {path} is of iteration {meta["iter"]}, past the {loop.max_iters} '
                'of the config: set train_cfg.max_iters, or resume from another'
            )


def fold_of(cfg: Config) -> list[int] | None:
    """Return the cross-validation fold that a config tests.

    Args:
        cfg: With dataloaders and evaluators.

    Returns:
        list[int]: The fold, or folds. None if the config has none.

    Raises:
        UserError: If its parts name different ones.
    """
    parts = {}
    for part in PARTS:
        dataloader, evaluator = f'{part}_dataloader', f'{part}_evaluator'
        parts[dataloader] = innermost_dataset(cfg.get(dataloader))
        parts[evaluator] = cfg.get(evaluator)
    folds = {name: _as_list(part['fold']) for name, part in parts.items() if _has_fold(part)}
    if not folds:
        return None
    first = next(iter(folds.values()))
    if any(fold != first for fold in folds.values()):
        named = ', '.join(f'{name} {fold_name(fold)}' for name, fold in folds.items())
        raise UserError(f'the parts of the config have different folds: {named}; give all the same')
    return first


def fold_name(folds: Sequence[int | str]) -> str:
    """Return the name of a fold or folds, such as '3' or '0-1-2'."""
    return '-'.join(map(str, folds))


def _has_fold(part: Any) -> bool:
    return isinstance(part, dict) and part.get('fold') is not None


def _as_list(fold: int | Sequence[int]) -> list[int]:
    return [fold] if isinstance(fold, int) else sorted(fold)
