"""Check of a checkpoint's cross-validation fold."""

from __future__ import annotations

import logging

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmlesion.utils import UserError

from ..runner import fold_name, fold_of


@HOOKS.register_module()
class FoldHook(Hook):
    """Record the cross-validation fold in checkpoints, and reject those of another fold.

    A model that is tested on another fold than its own has been trained on the test data. The fold
    is read from the dataloaders and evaluators of the config, and stored in a checkpoint's ``meta``
    as ``fold``, a list.

    Raises:
        UserError: If a checkpoint that is tested, resumed or started from is of another fold, or
            the parts of the config have different ones.
    """

    def before_run(self, runner: Runner) -> None:
        """Read the fold."""
        self.fold = fold_of(runner.cfg)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the fold into a checkpoint."""
        checkpoint['meta']['fold'] = self.fold

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Reject a checkpoint of another fold."""
        found = checkpoint.get('meta', {}).get('fold')
        if found is None:
            print_log(
                'the checkpoint does not say which fold it leaves out for testing; this run tests '
                f'fold {fold_name(self.fold or ["none"])}',
                'current',
                logging.WARNING,
            )
        elif found != self.fold:
            raise UserError(
                f'the checkpoint leaves out fold {fold_name(found)} for testing and was trained on '
                f'the others, but this run tests fold {fold_name(self.fold or ["none"])}: choose '
                f'the same (LUNA16_FOLD={fold_name(found)}), or another checkpoint'
            )
