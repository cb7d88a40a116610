"""Mixed precision for selected modules: half precision, with float32 elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import apply_to
from torch import nn

from mmlesion.utils.channels_last import channels_last, store_channels_last

from .chosen_modules import chosen_modules


@HOOKS.register_module()
class AutocastModulesHook(Hook):
    """Run the convolutions of some modules in bfloat16, in training and testing.

    With ``--amp`` a whole detector runs under autocast, which mmcv's operators do not support on a
    CPU: its NMS and RoIAlign only accept float32 there. Backbone and neck, which take most of the
    time, use none of them. Weights stay in float32, and so do the outputs of modules. float16, the
    other half precision, needs a gradient scaler, which ``--amp`` has.

    Args:
        modules: Names of modules of the model; dots lead into them.
        channels_last: Whether their weights and images use the channels-last memory format,
            which oneDNN and cuDNN prefer, in 2D and 3D.

    Raises:
        UserError: If the model has no such module, when a run begins.
    """

    def __init__(
        self,
        modules: Sequence[str] = ('backbone', 'neck'),
        channels_last: bool = True,
    ) -> None:
        self.modules = tuple(modules)
        self.channels_last = channels_last

    def before_run(self, runner: Runner) -> None:
        """Wrap the modules' ``forward``."""
        for module in chosen_modules(runner, self.modules, 'AutocastModulesHook'):
            self._wrap(module)

    def _wrap(self, module: nn.Module) -> None:
        if 'forward' in vars(module):
            return  # a test after a training, with the same model
        if self.channels_last:
            store_channels_last(module)
        plain = module.forward

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            with torch.autocast(_device_of(module), torch.bfloat16):
                found = plain(*map(self._arrange, args), **kwargs)
            return apply_to(found, torch.is_tensor, _plain)

        # an attribute of the instance hides the method of the class
        module.forward = forward

    def _arrange(self, argument: Any) -> Any:
        """Convert images or volumes to the memory format of the weights."""
        if self.channels_last and isinstance(argument, torch.Tensor):
            return channels_last(argument)
        return argument


def _device_of(module: nn.Module) -> str:
    return next(module.parameters()).device.type


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return float32, channels first, which mmcv's RoIAlign assumes on a CPU without a check."""
    low = tensor.dtype == torch.bfloat16
    return (tensor.float() if low else tensor).contiguous()
