"""Distributed training on CPUs."""

from typing import Optional

from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn


@RUNNERS.register_module()
class CPURunner(Runner):
    """A runner for distributed training on CPUs with gloo.

    mmengine's runner always wraps a model for the CUDA device of its process. This one uses no
    device if there is none; ``model_wrapper_cfg`` and ``find_unused_parameters`` of the config have
    the same meaning as on GPUs.
    """

    def wrap_model(self, model_wrapper_cfg: Optional[dict], model: nn.Module) -> nn.Module:
        """Wrap a model for distributed training; see mmengine's ``Runner.wrap_model``."""
        if get_device() != 'cpu' or not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        # mmengine's defaults where there is no model_wrapper_cfg
        cfg = model_wrapper_cfg or dict(
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False),
        )
        return super().wrap_model(dict(cfg, device_ids=None), model)
