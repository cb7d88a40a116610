"""Whether a checkpoint fits a model: mmengine only warns of one that does not."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mmlesion.utils import UserError


def check_fit(model: nn.Module, checkpoint: Mapping, path: str, whole: bool = True) -> None:
    """Check that a checkpoint has every parameter of a model, or at least one, all of them numbers.

    A network with one weight that is NaN finds nothing, in whoever it is.

    Args:
        model: The model.
        checkpoint: What was loaded, a checkpoint or a state dict.
        path: Its file, for the error message.
        whole: Whether it must have every parameter. Defaults to True.

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
