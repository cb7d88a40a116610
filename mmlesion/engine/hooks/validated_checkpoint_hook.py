"""Checkpoints of which one is whole at any moment, before and after validation."""

from __future__ import annotations

import os
from bisect import bisect
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmlesion.io.atomic import atomic_write, remove_partial

from ..checkpoints import LAST

DUE = 'due_validation'  # a key with "val" first would be logged


class WholeCheckpointHook(CheckpointHook):
    """mmengine's hook, but no checkpoint is removed before the one that replaces it is whole.

    mmengine removes what ``max_keep_ckpts`` and ``save_best`` no longer keep first, so that a run
    that is killed in between has lost both. ``last_checkpoint`` is written atomically, and a best
    checkpoint is looked for where checkpoints are now, should the work folder have been moved or
    copied.
    """

    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, str | None]
    last_ckpt: str | None
    file_backend: BaseStorageBackend

    def before_train(self, runner: Runner) -> None:
        """Find a resumed run's best checkpoints; remove what a killed one left half-written."""
        super().before_train(runner)
        if self.save_best is not None:
            self._find_best()
        if is_main_process():
            remove_partial(self.out_dir)

    def _find_best(self) -> None:
        """Take the best checkpoints' names from the message hub, and their folder from here."""
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = self._here(self.best_ckpt_path)
            return
        for key, path in self.best_ckpt_path_dict.items():
            self.best_ckpt_path_dict[key] = self._here(path)

    def _here(self, path: str | None) -> str | None:
        return path and self.file_backend.join_path(self.out_dir, os.path.basename(path))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        # noted before saving, so that the checkpoint itself has the new list
        outdated = self._keep(runner, step)
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        # once the file is whole; what it replaces goes last
        with atomic_write(Path(runner.work_dir) / LAST) as temporary:
            temporary.write_text(self.last_ckpt, encoding='utf-8')
        if outdated is not None:
            _remove(self.file_backend, self._path(outdated))

    def _keep(self, runner: Runner, step: int) -> int | None:
        """Note a step's checkpoint as one to keep; return the step of one that no longer is."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return None
        is_full = len(self.keep_ckpt_ids) == self.max_keep_ckpts
        outdated = self.keep_ckpt_ids.popleft() if is_full else None
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return outdated

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        if not self.save_best:
            return
        # mmengine removes a best checkpoint that it knows before it writes the next one: it is to
        # know none
        several = len(self.key_indicators) > 1
        before = self.best_ckpt_path_dict if several else {'': self.best_ckpt_path}
        self._set_best(dict.fromkeys(before))
        super()._save_best_checkpoint(runner, metrics)
        now = self.best_ckpt_path_dict if several else {'': self.best_ckpt_path}
        self._set_best({key: now[key] or path for key, path in before.items()})
        for key, path in before.items():
            if path is not None and now[key] not in (None, path) and is_main_process():
                _remove(self.file_backend, path)

    def _set_best(self, paths: dict[str, str | None]) -> None:
        """Set the best checkpoint, or one for each of several metrics by its name."""
        if len(self.key_indicators) > 1:
            self.best_ckpt_path_dict = paths
        else:
            self.best_ckpt_path = paths['']

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))


@HOOKS.register_module()
class ValidatedCheckpointHook(WholeCheckpointHook):
    """Save each epoch before and again after its validation, so that a resumed run loses neither.

    mmengine saves an epoch before it is validated. State that depends on validation (the learning
    rate of ``ReduceOnPlateauLR``, the counter of early stopping, the best checkpoint) is then
    missing from the checkpoint, and a resumed run never validates that epoch. This hook saves the
    checkpoint again after validation. A run resumed from a checkpoint saved before validation
    validates first and then continues training.

    It does so for ``by_epoch=True``. With epochs or iterations, no checkpoint is removed before the
    one that replaces it is whole, see :class:`WholeCheckpointHook`.

    Args:
        *args: Those of mmengine's ``CheckpointHook``.
        **kwargs: Those of mmengine's ``CheckpointHook``.
    """

    def before_train(self, runner: Runner) -> None:
        """Run the validation in which a resumed run was interrupted."""
        super().before_train(runner)
        if runner.val_loop is not None and _is_due(runner):
            self.last_ckpt = self._path(runner.epoch)
            runner.logger.info(f'Epoch {runner.epoch} was not fully validated: validating it')
            runner.val_loop.run()

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the checkpoint, marked if validation is to follow."""
        # runner.epoch still counts the epochs before this one
        if self.by_epoch and _validates(runner, runner.epoch + 1):
            runner.message_hub.update_info(DUE, runner.epoch + 1)
        super().after_train_epoch(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint, and the epoch's again with the changes made by validation."""
        if not _is_due(runner):
            super().after_val_epoch(runner, metrics)
            return
        runner.message_hub.pop_info(DUE)
        saved, self.last_ckpt = self.last_ckpt, None  # mmengine would save it with each best one
        super().after_val_epoch(runner, metrics)
        self.last_ckpt = saved
        # without the mark, and with what validation changed, such as a plateau's counter
        if saved == self._path(runner.epoch):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, runner.epoch, meta)


def _is_due(runner: Runner) -> bool:
    return runner.message_hub.runtime_info.get(DUE) == runner.epoch


def _validates(runner: Runner, epoch: int) -> bool:
    """Return whether an epoch, counted from 1, is validated; see ``EpochBasedTrainLoop``."""
    loop = runner.train_loop
    # the interval of the last milestone that the epoch has reached
    interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, epoch + 1) - 1]
    in_turn = epoch % interval == 0 or epoch == loop.max_epochs
    return runner.val_loop is not None and epoch >= loop.val_begin and in_turn


def _remove(backend: BaseStorageBackend, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):
        backend.rmtree(path)  # one of DeepSpeed's
