"""Work folders by cross-validation fold."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS

from ..folds import fold_name, fold_of
from .cpu_runner import CPURunner


@RUNNERS.register_module()
class FoldRunner(CPURunner):
    """A runner with a separate work folder for each cross-validation fold.

    mmdet's tools name it after the config, so that folds would overwrite each other's checkpoints
    and resume from them: it becomes ``work_dirs/<config>/fold<k>``. A folder set with
    ``--work-dir`` or in the config is not changed.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> FoldRunner:
        """Build a runner from a config.

        Args:
            cfg (Config): The config.

        Returns:
            FoldRunner: The runner.
        """
        fold = fold_of(cfg)
        of_config = Path('work_dirs', Path(cfg.filename or '').stem)
        if fold is not None and Path(cfg.work_dir) == of_config:
            cfg = copy.deepcopy(cfg)
            cfg.work_dir = str(of_config / f'fold{fold_name(fold)}')
        return super().from_cfg(cfg)
