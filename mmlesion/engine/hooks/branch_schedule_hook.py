"""Training schedule of the two branches of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmlesion.utils import OptionError, UserError

if TYPE_CHECKING:
    from mmlesion.models.detectors import AggregatedRCNN3D


@HOOKS.register_module()
class BranchScheduleHook(Hook):
    """Train the RPN first, then both branches, jointly or alternately.

    3D Aggregated Faster R-CNN, section III-E: the RPN's dense gradients initialize the backbone;
    then training is joint, or alternating, which the paper found less stable. The trained branch
    depends only on the epoch and the iteration, so resumed runs reproduce uninterrupted ones. In
    the RPN's epochs, detections are those of the RPN, both in validation and with the checkpoints
    of these epochs. Distributed training needs ``find_unused_parameters=True`` in the config.

    Args:
        rpn_epochs: Epochs that train only the RPN. Defaults to 0.
        alternate: After these epochs, number of iterations after which the branches
            alternate, starting with the FPRN. Defaults to None, joint training.

    Raises:
        UserError: If the model has no branches.
    """

    def __init__(self, rpn_epochs: int = 0, alternate: int | None = None) -> None:
        if rpn_epochs < 0 or (alternate is not None and alternate < 1):
            raise OptionError(
                'rpn_epochs must be at least 0 and alternate at least 1, not '
                f'{rpn_epochs} and {alternate}',
                self,
            )
        self.rpn_epochs = rpn_epochs
        self.alternate = alternate

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the branches to train in this iteration."""
        detector = _detector(runner)
        detector.branches = self._branches(runner)
        if runner.epoch < self.rpn_epochs:
            detector.fprn_detects = False

    def _branches(self, runner: Runner) -> str:
        if runner.epoch < self.rpn_epochs:
            return 'rpn'
        if self.alternate is None:
            return 'joint'
        # the FPRN first: the epochs before were of the RPN alone
        return 'rpn' if runner.iter // self.alternate % 2 else 'fprn'


def _detector(runner: Runner) -> AggregatedRCNN3D:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not hasattr(model, 'branches'):
        raise UserError(f'BranchScheduleHook: {type(model).__name__} has no branches to train')
    return model
