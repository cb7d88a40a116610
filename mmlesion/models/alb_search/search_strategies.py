"""Search strategies for genotypes, gradient descent and random search, and their optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmdet.utils import ConfigType, OptConfigType
from mmengine.dist import all_reduce, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from mmengine.runner.utils import set_random_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmlesion.utils import OptionError, UserError
from mmlesion.visualization.graphs import render_genotypes

from .genotypes import chosen_operations, derive_genotype, sample_genotype
from .search_encoder import SearchALBEncoder

if TYPE_CHECKING:
    from .search_loop import ALBSearchLoop

PARTS = 'weights', 'architecture'


class SearchResult(NamedTuple):
    """The result of a search.

    Args:
        genotypes: Genotypes ``alb`` and ``reduction``.
        strengths: Weights of their operations, in the order of the
            genotypes; None where operations have none.
        details: Further entries of ``search.json``.
    """

    genotypes: dict[str, list[tuple]]
    strengths: dict[str, list[float]] | None
    details: dict


class SearchStrategy:
    """Base class of search strategies, which trains the weights.

    Args:
        loop: The loop that runs it.
    """

    def __init__(self, loop: ALBSearchLoop) -> None:
        self.loop = loop
        self.architecture = find_encoder(loop.runner.model).architecture

    def begin_epoch(self) -> None:
        """Prepare for an epoch."""

    def train_step(self, data_batch: dict) -> dict[str, Tensor]:
        """Take a training step on a batch of the first half.

        Args:
            data_batch: Data from the dataloader.

        Returns:
            dict[str, Tensor]: Losses.
        """
        return self.update('weights', data_batch)

    def end_epoch(self) -> None:
        """Log an epoch."""

    def choose(self) -> SearchResult:
        """Return what the search has found, at its end."""
        raise NotImplementedError

    def update(self, part: str, data_batch: dict) -> dict[str, Tensor]:
        """Update either the weights or the architecture parameters.

        Args:
            part: ``weights`` or ``architecture``.
            data_batch: Data from a dataloader.

        Returns:
            dict[str, Tensor]: Losses.
        """
        runner = self.loop.runner
        # first-order DARTS: each part is updated with the other one fixed
        (other,) = set(PARTS) - {part}
        with _held_fixed(runner.optim_wrapper[other].param_groups):
            return runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper[part])


@contextmanager
def _held_fixed(param_groups: Sequence[dict]) -> Iterator[None]:
    """Disable the gradients of parameters within the context."""
    all_parameters = chain.from_iterable(group['params'] for group in param_groups)
    parameters = [parameter for parameter in all_parameters if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class GradientStrategy(SearchStrategy):
    """Differentiable search (ElixirNet, section "Differentiable Search Strategy").

    A step updates the weights on a batch of one half, then the architecture parameters on a batch
    of the other.

    Args:
        loop: The loop that runs it.
        architecture_begin: Epochs that train only the weights before that.
    """

    def __init__(self, loop: ALBSearchLoop, architecture_begin: int) -> None:
        super().__init__(loop)
        if not 0 <= architecture_begin < loop.max_epochs:
            raise OptionError(
                f'architecture_begin={architecture_begin} of {loop.max_epochs} epochs leaves none '
                'to the architecture: set it lower, or max_epochs higher',
                self,
            )
        self.architecture_begin = architecture_begin
        self.batches: Iterator[dict] | None = None

    def begin_epoch(self) -> None:
        """Restart the loader of the second half."""
        trains = self.loop.epoch >= self.architecture_begin
        self.batches = _endless(self.loop.second_half_loader()) if trains else None

    def train_step(self, data_batch: dict) -> dict[str, Tensor]:
        """Update the weights, then the architecture parameters.

        Args:
            data_batch: Data of the first half.

        Returns:
            dict[str, Tensor]: Losses of the weights, and ``architecture_loss``.
        """
        outputs = super().train_step(data_batch)
        if self.batches:
            losses = self.update('architecture', next(self.batches))
            outputs['architecture_loss'] = losses['loss']
        return outputs

    def end_epoch(self) -> None:
        """Log the entropy of the architecture and a picture of the present cells."""
        runner, epoch = self.loop.runner, self.loop.epoch
        # falling entropy: the edges decide on an operation
        entropies = {f'search/entropy_{k}': v for k, v in self.architecture.entropies().items()}
        runner.visualizer.add_scalars(entropies, step=epoch)
        text = '  '.join(f'{name}: {value:.4f}' for name, value in entropies.items())
        runner.logger.info(f'Epoch(search) [{epoch}]  {text}')
        if is_main_process():
            found = self.choose()
            picture = render_genotypes(found.genotypes, found.strengths)
            runner.visualizer.add_image('cells', picture, step=epoch)

    def choose(self) -> SearchResult:
        """Derive the genotypes from the architecture parameters.

        Returns:
            SearchResult: With ``weights`` and ``entropies`` of the operations as details.
        """
        genotypes, strengths, weights = {}, {}, {}
        names = self.architecture.operations
        for kind, tensor in self.architecture.weights().items():
            array = tensor.detach().cpu().numpy()
            genotypes[kind] = derive_genotype(array, names)
            edges, operations = zip(*chosen_operations(genotypes[kind], names))
            strengths[kind] = array[edges, operations].astype(float).tolist()
            weights[kind] = array.tolist()
        details = dict(weights=weights, entropies=self.architecture.entropies())
        return SearchResult(genotypes, strengths, details)


def _endless(loader: DataLoader) -> Iterator[dict]:
    while True:
        yield from loader


class RandomStrategy(SearchStrategy):
    """Random search with weight sharing (Li and Talwalkar, UAI 2019), the baseline of Table 6.

    A step trains the weights of one randomly drawn genotype. At the end, genotypes are drawn and
    scored by their loss on the second half with those weights; the best is kept. All are scored on
    the same batches with the same random numbers; batch normalization uses the statistics of each
    batch, since the running statistics mix all genotypes.

    Args:
        loop: The loop that runs it.
        num_samples: Genotypes scored at the end.
        num_score_batches: Batches that they are scored on, None for all.
    """

    def __init__(
        self, loop: ALBSearchLoop, num_samples: int, num_score_batches: int | None
    ) -> None:
        super().__init__(loop)
        if num_samples < 1 or (num_score_batches is not None and num_score_batches < 1):
            raise OptionError(
                f'num_samples={num_samples}, num_score_batches={num_score_batches}: random search '
                'scores at least one genotype on at least one batch',
                self,
            )
        self.num_samples = num_samples
        self.num_score_batches = num_score_batches

    def train_step(self, data_batch: dict) -> dict[str, Tensor]:
        """Update the weights of a genotype determined by the seed and the iteration.

        Args:
            data_batch: Data of the first half.

        Returns:
            dict[str, Tensor]: Losses.
        """
        self.architecture.genotypes = self._draw(self.loop.iter)
        return super().train_step(data_batch)

    def choose(self) -> SearchResult:
        """Score genotypes.

        Returns:
            SearchResult: Without strengths; with the ``candidates`` as details, the best first.
        """
        candidates = [self._draw(self.loop.max_iters + i) for i in range(self.num_samples)]
        losses = self._score(candidates)
        scored: list[dict[str, Any]] = [
            dict(loss=loss, **genotypes) for loss, genotypes in zip(losses, candidates)
        ]
        scored.sort(key=lambda candidate: candidate['loss'])
        return SearchResult(candidates[np.argmin(losses)], None, dict(candidates=scored))

    def _draw(self, number: int) -> dict[str, list[tuple]]:
        # by number alone, so that all processes and a resumed run draw the same
        generator = np.random.default_rng((self.loop.runner.seed, number))
        names = self.architecture.operations
        return {kind: sample_genotype(generator, names) for kind in self.architecture.alphas}

    @torch.no_grad()
    def _score(self, candidates: Sequence[dict[str, list[tuple]]]) -> list[float]:
        """Return the mean loss of each candidate on the second half."""
        runner = self.loop.runner
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        # the searched blocks normalize by the batch, all other modules are as in testing
        model.eval()
        find_encoder(model).train()
        loader = self.loop.second_half_loader()
        num_batches = min(len(loader), self.num_score_batches or len(loader))
        # The same batches and the same seed per batch for all candidates: only they differ.
        losses = torch.zeros(num_batches, len(candidates))
        batches = zip(range(num_batches), loader)
        hidden = not is_main_process()
        for number, data_batch in tqdm(batches, 'scoring', num_batches, disable=hidden):
            data = model.data_preprocessor(data_batch, True)
            for i, genotypes in enumerate(candidates):
                self.architecture.genotypes = genotypes
                set_random_seed((runner.seed + number) % 2**32)
                losses[number, i] = model.parse_losses(model(**data, mode='loss'))[0]
        # each process has scored its share of the second half
        mean = losses.mean(0)
        all_reduce(mean, 'mean')
        return mean.tolist()


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

    def __init__(self, optim_wrapper_cfg: ConfigType, paramwise_cfg: OptConfigType = None) -> None:
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
