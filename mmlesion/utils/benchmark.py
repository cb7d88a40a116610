"""Timing of detectors, shared by the benchmarks of tools/analysis_tools."""

import statistics
import time
from typing import NamedTuple

import torch
from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from tqdm import tqdm

from .errors import UserError


class Seconds(NamedTuple):
    """Duration of a call.

    Args:
        wall (float): Seconds by the clock on the wall.
        processor (float): Seconds of all threads of this process on the processor, which other work
            on the machine does not count into. On a GPU they are not what it costs.
    """

    wall: float
    processor: float

    def __add__(self, other):
        return Seconds(self.wall + other.wall, self.processor + other.processor)


def clocked(function, *args, device='cpu'):
    """Call a function and take its time.

    Args:
        function (callable): What to call.
        *args: Its arguments.
        device (str | torch.device): Where it computes; a GPU is waited for.

    Returns:
        tuple: What it returns, and :class:`Seconds`.
    """
    wait = torch.cuda.synchronize if torch.device(device).type == 'cuda' else (lambda: None)
    wait()
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*args)
    wait()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - processor)


def take_turns(functions, runs, warmup):
    """Call functions in turn, in the other direction at every second turn.

    Whichever runs second finds warmer caches, and other work on the machine comes and goes: what is
    compared is what neighbors of one turn took.

    Args:
        functions (dict[str, callable]): By name, without arguments.
        runs (int): Turns that are returned.
        warmup (int): Turns before them that are not.

    Returns:
        list[dict]: Of each turn, what each function returned, by name.
    """
    names, turns = list(functions), []
    for turn in tqdm(range(warmup + runs), desc='benchmark'):
        order = names if turn % 2 else names[::-1]
        turns.append({name: functions[name]() for name in order})
    return turns[warmup:]


def median_ratio(turns, name, reference):
    """Return the median over rounds of the time of ``name`` relative to ``reference``."""
    return statistics.median(turn[name] / turn[reference] for turn in turns)


def build_detector(cfg, checkpoint=None, seed=0, device='cpu'):
    """Build a detector for inference, with random weights if there is no checkpoint.

    Args:
        cfg (Config): A config with ``model``; weights of ImageNet, which it may name, are not
            loaded.
        checkpoint (str | Path, optional): A checkpoint. Defaults to None.
        seed (int): Of random weights.
        device (str): Where to put it.

    Returns:
        nn.Module: The detector, in evaluation mode.
    """
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # mmengine logs each weight
    torch.manual_seed(seed)
    model = MODELS.build(without_pretrained(cfg.model))
    model.init_weights()
    if checkpoint:
        load_checkpoint(model, str(checkpoint), map_location='cpu')
    return model.to(device).eval()


def without_pretrained(cfg):
    """Remove weights to download from a model's config; modules are then randomly initialized.

    Args:
        cfg (ConfigDict | list | object): The config, or a part of it.

    Returns:
        ConfigDict | list | object: A copy with ``init_cfg=None`` where its type was 'Pretrained'.
    """
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(without_pretrained(item) for item in cfg)
    if not isinstance(cfg, dict):
        return cfg
    copied = {key: without_pretrained(value) for key, value in cfg.items()}
    if isinstance(cfg.get('init_cfg'), dict) and cfg['init_cfg'].get('type') == 'Pretrained':
        copied['init_cfg'] = None
    return type(cfg)(copied)


def random_image(size, seed=0, device='cpu', channels=3):
    """Draw an image with values between -1 and 1, as a detector's backbone takes it.

    Args:
        size (int): Its side, px.
        seed (int): Of its values.
        device (str): Where to put it.
        channels (int): Its channels.

    Returns:
        tuple: Image (1, channels, size, size) and the meta information of its sample.
    """
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand((1, channels, size, size), generator=generator) * 2 - 1
    shapes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    return image.to(device), dict(dict.fromkeys(shapes, (size, size)), scale_factor=(1, 1))


def check_turns(runs, warmup, device):
    """Check the options that every benchmark has.

    Raises:
        UserError: If there is no run, a negative number of runs, or no such device.
    """
    if runs < 1 or warmup < 0:
        raise UserError('--runs must be at least 1 and --warmup at least 0')
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise UserError(f'--device {device}: torch finds no CUDA device')
