"""Optimizers of the weights and of the architecture."""

from __future__ import annotations

from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from torch import nn

from mmlesion.utils import OptionError, UserError

from .search_encoder import SearchALBEncoder

PARTS = 'weights', 'architecture'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SearchOptimWrapperConstructor:
    """Build separate optimizers for the network's weights and its architecture parameters.

    In a config ``optim_wrapper = dict(constructor='SearchOptimWrapperConstructor',
    weights=dict(optimizer=...), architecture=dict(optimizer=...))``; other entries, for instance
    ``type='AmpOptimWrapper'``, apply to both.

    Args:
        optim_wrapper_cfg: That config.
        paramwise_cfg: Must be None, there are no options by parameter.

    Raises:
        UserError: If one of both is missing, or there is a ``paramwise_cfg``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg is not None:
            raise OptionError('the search has no paramwise_cfg: remove it from optim_wrapper', self)
        common = dict(optim_wrapper_cfg)
        self.configs = {part: common.pop(part, None) for part in PARTS}
        for part, config in self.configs.items():
            if config is None:
                raise OptionError(f'optim_wrapper needs {part}=dict(optimizer=dict(...))', self)
            self.configs[part] = {**common, **config}

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build both.

        Args:
            model: The detector, in mmengine's wrapper or not.

        Returns:
            OptimWrapperDict: ``weights`` and ``architecture``.
        """
        searched = list(find_encoder(model).architecture.parameters())
        # by identity, as == of tensors compares their numbers
        known = {id(parameter) for parameter in searched}
        others = [parameter for parameter in model.parameters() if id(parameter) not in known]
        wrappers = {}
        # in the order of PARTS: the weights, then the architecture
        for part, parameters in zip(PARTS, (others, searched)):
            constructor = DefaultOptimWrapperConstructor(self.configs[part])
            wrappers[part] = constructor(nn.ParameterList(parameters))
        return OptimWrapperDict(**wrappers)


def find_encoder(model: nn.Module) -> SearchALBEncoder:
    """Return the encoder of a detector whose architecture is searched.

    Raises:
        UserError: If there is none.
    """
    for module in model.modules():
        if isinstance(module, SearchALBEncoder):
            return module
    raise UserError(
        "the model has no architecture to search: set its roi_head's bbox_head to "
        "dict(type='RelationBBoxHead', encoder=dict(type='SearchALBEncoder'))"
    )
