"""Checkpoints of which one is whole at any moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmlesion.io.atomic import atomic_write, remove_partial

from ..latest_checkpoint import LAST


class WholeCheckpointHook(CheckpointHook):
    """mmengine's hook, but no checkpoint is removed before the one that replaces it is whole.

    mmengine removes what ``max_keep_ckpts`` and ``save_best`` no longer keep first, so that a run
    that is killed in between has lost both. ``last_checkpoint`` is written atomically, and a best
    checkpoint is looked for where checkpoints are now, should the work folder have been moved or
    copied.
    """

    best_ckpt_path: str | None
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
        backend = self.file_backend
        self.file_backend = deferred = _DeferredRemoval(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = {getattr(self, 'best_ckpt_path', None)}
        best.update(getattr(self, 'best_ckpt_path_dict', {}).values())
        # the new best one is whole by now
        for path in deferred.paths:
            if path not in best:
                _remove(backend, path)

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))


class _DeferredRemoval:
    """A file backend that only notes what is to be removed."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self.backend = backend
        self.paths: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.paths.append(path)

    rmtree = remove


def _remove(backend: BaseStorageBackend, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):
        backend.rmtree(path)  # one of DeepSpeed's
