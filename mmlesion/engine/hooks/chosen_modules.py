"""Lookup of the parts of a model that a hook changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmlesion.utils import UserError


def chosen_modules(runner: Runner, names: Sequence[str], hook: str) -> Iterator[nn.Module]:
    """Yield modules of the runner's model, unwrapped, by name.

    Args:
        runner: Its ``model`` may be wrapped for distributed training.
        names: Names of the modules; dots lead into them.
        hook: The hook's name, for the error message.

    Raises:
        UserError: If the model has no such module.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    for name in names:
        try:
            yield model.get_submodule(name)
        except AttributeError:
            children = ', '.join(child for child, _ in model.named_children())
            raise UserError(
                f'{hook}: the model has no module {name!r}; it has {children}'
            ) from None
