"""Compare the gradients that the losses of a detector have at the layers they share.

Takes batches of a config's training data through the model as training begins, or from a
checkpoint, and prints for each loss its value, the norm of its gradient at --part, and the ratio of
that norm to the norm of all other losses' gradient. A loss far above 1 drowns the others. The norm
grows with its loss_weight in proportion.
"""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from mmengine.config import Config, DictAction
from terminaltables import AsciiTable
from tqdm import tqdm

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.io.json_files import write_json
from mmlesion.utils import UserError, check_range, cli
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from torch import Tensor, nn


class LossGradient(NamedTuple):
    """The gradient of a loss at the shared layers.

    Args:
        value (float): The loss, with its weight.
        norm (float): Of its gradient.
        ratio (float): Of this norm to that of the other losses' summed gradient.
    """

    value: float
    norm: float
    ratio: float


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the detector')
    parser.add_argument(
        '--checkpoint', help="weights to load (default: the config's initial weights)"
    )
    parser.add_argument(
        '--part', default='backbone', help='module of the shared parameters (default %(default)s)'
    )
    parser.add_argument('--batches', type=int, default=4, help='default %(default)s')
    parser.add_argument(
        '--seed', type=int, default=0, help='random seed of weights and data (default 0)'
    )
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--out', help='output JSON file')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='overrides, key=value, as in train.py'
    )
    return parser.parse_args()


def compare_losses(model: nn.Module, data: dict, parameters: list[Tensor]) -> dict:
    """Compare the gradients of the losses of one batch.

    Args:
        model (BaseDetector): The detector, in training mode.
        data (dict): A batch of the data loader.
        parameters (list[Tensor]): Those of the shared layers.

    Returns:
        dict[str, LossGradient]: By the losses' names.
    """
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    values, gradients = {}, {}
    for name, loss in losses.items():
        if 'loss' in name:  # and no accuracy
            total = summed(loss)
            values[name] = total.item()
            gradients[name] = flat_gradient(total, parameters)
    # (parameters,) of all losses; less one loss' own it is that of the others
    total_gradient = sum(gradients.values())
    figures = {}
    for name, gradient in gradients.items():
        ratio = norm_ratio(gradient, total_gradient - gradient)
        figures[name] = LossGradient(values[name], gradient.norm().item(), ratio)
    return figures


def summed(loss: Tensor | list) -> Tensor:
    """Add up a loss that comes by levels, as mmengine's ``parse_losses`` does."""
    return sum(level.mean() for level in loss) if isinstance(loss, list) else loss.mean()


def flat_gradient(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """Return the gradient of a loss for all parameters as one vector, 0 where it has none."""
    import torch

    # The graph is kept for the next loss, which goes back through the same layers.
    gradients = torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.flatten() for gradient in gradients])


def norm_ratio(gradient: Tensor, others: Tensor) -> float:
    """Return the norm of a gradient over that of the others, infinite if they have none."""
    rest = others.norm().item()
    return gradient.norm().item() / rest if rest else float('inf')


def shared_parameters(model: nn.Module, part: str) -> list[Tensor]:
    """Return the trained parameters of a part of a model.

    Raises:
        UserError: If there is no such part, or it has none.
    """
    modules = dict(model.named_modules())
    if part not in modules:
        names = ', '.join(name for name, _ in model.named_children())
        raise UserError(f'--part {part}: the model has no such module; it has {names}')
    parameters = [weight for weight in modules[part].parameters() if weight.requires_grad]
    if not parameters:
        raise UserError(f'--part {part} has no parameter that is trained')
    return parameters


def measure(cfg: Config, args: argparse.Namespace) -> list[dict]:
    """Compare the losses of ``args.batches`` batches, each as :func:`compare_losses` does."""
    # imported here, so that --help does without torch
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner, load_checkpoint, set_random_seed

    from mmlesion.engine.checkpoint_content import check_fit

    init_default_scope(cfg.get('default_scope', 'mmdet'))
    set_random_seed(args.seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    if args.checkpoint:
        checkpoint = load_checkpoint(model, args.checkpoint, map_location='cpu')
        check_fit(model, checkpoint, args.checkpoint)
    try:
        model.to(args.device).train()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'--device {args.device} cannot be used ({reason}): try cpu') from None
    parameters = shared_parameters(model, args.part)
    batches = islice(Runner.build_dataloader(cfg.train_dataloader, seed=args.seed), args.batches)
    progress = tqdm(batches, total=args.batches, desc='batches')
    return [compare_losses(model, data, parameters) for data in progress]


def medians(batches: list[dict]) -> dict:
    """Return the medians over batches, one LossGradient per loss."""
    figures = {}
    for name in batches[0]:
        # (batches, 3): value, norm and ratio
        value, norm, ratio = np.median([batch[name] for batch in batches], axis=0).tolist()
        figures[name] = LossGradient(value, norm, ratio)
    return figures


@cli
def main():
    args = parse_args()
    if args.batches < 1:
        raise UserError(f'--batches {args.batches} must be at least 1')
    check_range('--seed', args.seed, 0)
    cfg = load_config(args.config, args.cfg_options, ['model', 'train_dataloader'])
    figures = medians(measure(cfg, args))
    rows = [['loss', 'value', 'gradient', 'to the others']]
    for name, figure in figures.items():
        cells = [f'{number:.4g}' for number in figure]
        rows.append([name] + cells)
    print(AsciiTable(rows).table)
    if args.out:
        named = {name: figure._asdict() for name, figure in figures.items()}
        write_json(named, args.out, indent=2)


if __name__ == '__main__':
    main()
