"""Refusal of checkpoints of other models, of which mmengine only warns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from torch import nn


def check_fit(model: nn.Module, checkpoint: Mapping, path: str, whole: bool = True) -> None:
    """Check that a checkpoint has every parameter of a model, or at least one, all of them numbers.

    A network with one weight that is NaN finds nothing, in whoever it is.

    Args:
        model (nn.Module): The model.
        checkpoint (dict): What was loaded, a checkpoint or a state dict.
        path (str): Its file, for the error message.
        whole (bool): Whether it must have every parameter. Defaults to True.

    Raises:
        UserError: If it lacks one, which would silently stay random, or all; or if one is not
            finite, or of whole numbers where the model has others.
    """
    # Counts of batches are no weights; checkpoints of old versions of torch have none.
    state, parameters = checkpoint.get('state_dict', checkpoint), model.state_dict()
    wrong = []
    for name, value in parameters.items():
        fits = getattr(state.get(name), 'shape', None) == value.shape
        if not fits and not name.endswith('num_batches_tracked'):
            wrong.append(name)
    named = [name for name in parameters if not name.endswith('num_batches_tracked')]
    if wrong and (whole or len(wrong) == len(named)):
        raise UserError(
            f'the checkpoint {path} does not fit the config: {len(wrong)} parameters are missing'
            f' or of another shape, the first {wrong[0]}; give the config it was trained with'
        )
    loaded = {name: state[name] for name in parameters if name not in wrong and name in state}
    if bad := not_finite(loaded):
        raise UserError(
            f'the checkpoint {path} has weights that are no finite numbers, the first {bad}: its '
            'training has diverged, or the file is damaged; give another one'
        )
    for name, value in loaded.items():
        if parameters[name].is_floating_point() and not value.is_floating_point():
            raise UserError(
                f'the checkpoint {path} has {value.dtype} for the weights {name}: give one of '
                'floating-point numbers'
            )


def not_finite(state: Mapping) -> str | None:
    """Return the name of the first tensor with a value that is no finite number, or None."""
    return next((name for name, value in state.items() if not value.isfinite().all()), None)


@contextmanager
def whole_checkpoints(always: bool) -> Iterator[None]:
    """Let mmengine's runners refuse, within the block, checkpoints that do not fit their model.

    Args:
        always (bool): Whether to refuse them wherever they are loaded; else only where a training
            is resumed, as one may begin with part of another model's weights, if there is any.
    """
    from mmengine.runner import Runner

    # Runner's own methods, and no hook or subclass: mmengine tells hooks neither the file nor
    # whether it is resumed from, and both would have to stand in the user's config.
    plain_load, plain_resume = Runner.load_checkpoint, Runner.resume
    resuming: list[bool] = []  # not empty while resume() runs, which calls load_checkpoint()

    def load_checkpoint(runner: Any, filename: str, *args: Any, **kwargs: Any) -> Any:
        checkpoint = plain_load(runner, filename, *args, **kwargs)
        check_fit(_without_wrappers(runner.model), checkpoint, filename, always or bool(resuming))
        if resuming:
            _check_training(checkpoint, filename)
            _check_iteration(runner.train_loop, checkpoint['meta']['iter'], filename)
        return checkpoint

    def resume(runner: Any, *args: Any, **kwargs: Any) -> None:
        resuming.append(True)
        try:
            plain_resume(runner, *args, **kwargs)
        finally:
            resuming.pop()

    Runner.load_checkpoint, Runner.resume = load_checkpoint, resume
    try:
        yield
    finally:
        Runner.load_checkpoint, Runner.resume = plain_load, plain_resume


def _without_wrappers(model: nn.Module) -> nn.Module:
    from mmengine.model import BaseTTAModel, is_model_wrapper

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module  # type: ignore[assignment]  # a module by what wrappers are
    return model


def _check_iteration(loop: Any, iteration: int, path: str) -> None:
    """Refuse a training by iterations that is past its end: it would skip all these batches."""
    from mmengine.runner import IterBasedTrainLoop

    if isinstance(loop, IterBasedTrainLoop) and iteration > loop.max_iters:
        raise UserError(
            f'the checkpoint {path} is of iteration {iteration}, past the {loop.max_iters} of the '
            'config: set train_cfg.max_iters, or resume from another'
        )


def _check_training(checkpoint: Mapping, path: str) -> None:
    meta = checkpoint.get('meta') or {}
    if not {'epoch', 'iter'} <= meta.keys() or 'optimizer' not in checkpoint:
        raise UserError(
            f'the checkpoint {path} has no state of a training to resume: give it as load_from '
            'instead, to begin one with its weights'
        )
