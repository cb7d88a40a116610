"""Embeddings of lesions in a volume, for recognizing them in another study of the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from tqdm import tqdm

from mmlesion.io.results import DetectedLesion
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils.configs import load_config

from ..utils import UserError
from .inferencer import load_detector, volume_pipeline
from .slice_batches import slice_sample

BATCH = 16  # lesions


class EmbeddingInferencer:
    """Embed lesions with a :class:`~mmlesion.models.LesionEmbedding`.

    Args:
        model: The config of the embedding or its path.
        weights: A checkpoint.
        device: As in :class:`torch.device`. By default an accelerator, if there is.

    Raises:
        UserError: If the config, the checkpoint or the device cannot be used.
    """

    def __init__(
        self, model: str | Path | Config, weights: str | Path, device: str | None = None
    ) -> None:
        cfg = load_config(model, None, ['test_dataloader'])
        if cfg.get('model', {}).get('type', '').split('.')[-1] != 'LesionEmbedding':
            raise UserError(
                f'{model} is the config of no LesionEmbedding: give one such as '
                'configs/lens/lesion-embedding_r18_1xb64-12e_deeplesion.py'
            )
        self.model = load_detector(cfg, weights, device or get_device())
        pipeline = get_test_pipeline_cfg(cfg)
        steps = volume_pipeline(pipeline)
        # The lesions' boxes come as annotations, which a detector's pipeline does without.
        steps[1:1] = [step for step in pipeline if 'LoadAnnotations' in step['type']]
        self.pipeline = Compose(steps)

    @torch.no_grad()
    def __call__(self, volume: CTVolume, lesions: Sequence[DetectedLesion]) -> np.ndarray:
        """Embed the box of each lesion on its key slice, and what surrounds it.

        Args:
            volume: The volume.
            lesions: n lesions in it.

        Returns:
            ndarray: (n, D) of length 1.
        """
        samples = [self._sample(volume, lesion) for lesion in lesions]
        found = []
        for start in tqdm(range(0, len(samples), BATCH), 'embeddings', leave=False):
            inputs = [self.pipeline(sample) for sample in samples[start : start + BATCH]]
            found += [one.embedding for one in self.model.test_step(pseudo_collate(inputs))]
        return torch.stack(found).cpu().numpy() if found else np.zeros((0, 0))

    def _sample(self, volume: CTVolume, lesion: DetectedLesion) -> dict:
        # from i, j, k of the volume's file to z, y, x of its array
        _, y1, x1, _, y2, x2 = volume.boxes_from_index(lesion.bbox_voxel)[0].tolist()
        index = volume.slice_index(lesion.key_slice)
        box = dict(bbox=[x1, y1, x2, y2], bbox_label=0, ignore_flag=0)
        return dict(slice_sample(volume, index), instances=[box])
