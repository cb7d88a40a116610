"""The training loop of the search of auto-lesion blocks."""

from __future__ import annotations

import time
from copy import deepcopy
from pathlib import Path

from mmdet.registry import LOOPS
from mmengine.dist import is_main_process
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmlesion.io.json_files import write_json
from mmlesion.utils import OptionError, UserError
from mmlesion.visualization.graphs import draw_genotypes

from .genotypes import EDGES, write_genotypes
from .search_strategies import GradientStrategy, RandomStrategy, SearchResult, SearchStrategy

# the checkpoint's note of the strategy that has trained it
STRATEGY = 'search_strategy'


@LOOPS.register_module()
class ALBSearchLoop(EpochBasedTrainLoop):
    """Search of auto-lesion blocks (ElixirNet, section "Auto-Lesion Block Search").

    The network's weights are trained on one half of the training set, the architecture on the other
    half. At its end the loop writes ``genotypes.py``, a config fragment, ``cells.png`` and
    ``search.json`` to the work folder. It needs a ``SearchALBEncoder`` in the model, a
    ``PatientHalfSampler`` in the loader and a ``SearchOptimWrapperConstructor``. The rest of the
    detector should be pretrained (``load_from``) and frozen (``FreezeModulesHook``). There is no
    validation during the search.

    Args:
        runner: The runner.
        dataloader: The loader of the half for the weights. The other half's loader differs
            only in its sampler's ``half``.
        max_epochs: Total number of epochs, which the paper does not specify.
        strategy: ``gradient``, the paper's, or ``random``, its baseline. Defaults to
            ``gradient``.
        architecture_begin: Epochs that train only the weights, before ``gradient`` updates
            the architecture. Defaults to 15, our interpretation of "network weights w is updated
            after training 15 epochs".
        num_samples: Genotypes that ``random`` scores at its end. Defaults to 100.
        num_score_batches: Batches of the second half that it scores them on.
            Defaults to None, for all.

    Raises:
        UserError: If an option or the config around it cannot be used.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        max_epochs: int,
        strategy: str = 'gradient',
        architecture_begin: int = 15,
        num_samples: int = 100,
        num_score_batches: int | None = None,
    ) -> None:
        _check_config(runner, dataloader)
        self.second_half = deepcopy(dataloader)
        self.second_half['sampler']['half'] = 1 - dataloader['sampler']['half']
        # never validated: the search is judged by what is trained with its result
        super().__init__(runner, dataloader, max_epochs, val_begin=max_epochs + 1)
        # both loaders draw from one dataset, which is loaded once
        self.second_half['dataset'] = self.dataloader.dataset
        self.strategy_name = strategy
        self.strategy: SearchStrategy
        if strategy == 'gradient':
            self.strategy = GradientStrategy(self, architecture_begin)
        elif strategy == 'random':
            self.strategy = RandomStrategy(self, num_samples, num_score_batches)
        else:
            raise OptionError(
                f"strategy={strategy!r} of the search: choose 'gradient' or 'random'", self
            )

    def second_half_loader(self) -> DataLoader:
        """Return a loader of the second half, shuffled for this epoch.

        A new one each time, since mmdet's ``AspectRatioBatchSampler`` keeps the leftovers of an
        interrupted iteration.
        """
        loader = self.runner.build_dataloader(self.second_half, seed=self.runner.seed)
        loader.batch_sampler.sampler.set_epoch(self.epoch)
        return loader

    def run(self) -> nn.Module:
        """Search, and write the result.

        Returns:
            nn.Module: The model.

        Raises:
            UserError: If the search that is resumed had another strategy.
        """
        self._check_resumed()
        start = time.perf_counter()
        model = super().run()
        found = self.strategy.choose()
        seconds = time.perf_counter() - start
        if is_main_process():
            self._write(found, seconds)
        return model

    def run_epoch(self) -> None:
        """Iterate one epoch of the first half."""
        self.strategy.begin_epoch()
        super().run_epoch()
        self.strategy.end_epoch()

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Take one step of the strategy.

        Args:
            idx: Number of the batch.
            data_batch: Data of the first half.
        """
        batch = dict(batch_idx=idx, data_batch=data_batch)
        self.runner.call_hook('before_train_iter', **batch)
        outputs = self.strategy.train_step(data_batch)
        self.runner.call_hook('after_train_iter', **batch, outputs=outputs)
        self._iter += 1

    def _check_resumed(self) -> None:
        hub = self.runner.message_hub
        # a checkpoint from before the note, or a new search, agrees with any
        noted = hub.get_info(STRATEGY, self.strategy_name)
        if self.iter and noted != self.strategy_name:
            raise UserError(
                f"the search to resume is by strategy='{noted}', not "
                f"'{self.strategy_name}': resume it by its own, or take another work folder"
            )
        hub.update_info(STRATEGY, self.strategy_name)

    def _write(self, found: SearchResult, seconds: float) -> None:
        folder = Path(self.runner.work_dir)
        origin = dict(
            strategy=self.strategy_name, max_epochs=self.max_epochs, seed=self.runner.seed
        )
        settings = ', '.join(f'{key} {value}' for key, value in origin.items())
        path = folder / 'genotypes.py'
        write_genotypes(
            found.genotypes, path, f'Found by the search of auto-lesion blocks: {settings}.'
        )
        draw_genotypes(found.genotypes, found.strengths, folder / 'cells.png')
        operations = self.strategy.architecture.operations
        result = dict(**origin, genotypes=found.genotypes, operations=operations, edges=EDGES)
        write_json(dict(**result, **found.details, seconds=seconds), folder / 'search.json')
        self.runner.logger.info(f'Genotypes are in {path}')


def _check_config(runner: Runner, dataloader: dict) -> None:
    """Raise UserError if the config is that of ordinary training instead of a search."""
    if not isinstance(dataloader, dict) or 'half' not in dataloader['sampler']:
        raise UserError(
            "the search takes halves of the training set: set train_dataloader's sampler to "
            "dict(type='PatientHalfSampler', half=0)"
        )
    if 'architecture' not in getattr(runner.optim_wrapper, 'keys', tuple)():
        raise UserError(
            'the search has two optimizers: set optim_wrapper to '
            "dict(constructor='SearchOptimWrapperConstructor', weights=..., architecture=...)"
        )
