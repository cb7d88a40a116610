"""How well embeddings retrieve other annotations of the same lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from scipy.spatial.distance import cdist, squareform


@METRICS.register_module()
class LesionRetrievalMetric(BaseMetric):
    """How well embeddings retrieve lesions, as intra-patient lesion matching needs it (LENS).

    Results are ``top1``, the share of the lesions with another annotation of theirs whose nearest
    neighbor among the annotations on all other slices is one of these; and ``precision`` and
    ``recall`` of the pairs of one patient, on different slices, whose distance is below ``delta``.
    A pair is right if it has one ``lesion_group``. NaN where there is nothing to count.

    Args:
        delta (float): L2 distance. Defaults to 0.15 (LENS).
        collect_device (str): As in mmengine.
        prefix (str, optional): Put before the names of results; 'retrieval' by default.
    """

    default_prefix = 'retrieval'

    def __init__(
        self, delta: float = 0.15, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.delta = delta

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Collect what a batch has.

        Args:
            data_batch (dict): Of mmengine's interface.
            data_samples (Sequence[dict]): With ``embedding`` (D,), ``lesion_group``,
                ``patient_id`` and ``img_path``.
        """
        for sample in data_samples:
            keys = sample['lesion_group'], sample['patient_id'], sample['img_path']
            self.results.append((sample['embedding'].cpu().numpy(), *keys))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute ``top1``, ``precision`` and ``recall``.

        Args:
            results (list[tuple]): Of all samples.

        Returns:
            dict[str, float]: By name.
        """
        embeddings, *keys = zip(*results)
        same_group, same_patient, same_slice = (_equal_pairs(key) for key in keys)
        distances = cdist(embeddings, embeddings)
        others = np.where(same_slice, np.inf, distances)
        again = (same_group & ~same_slice).any(axis=1)
        nearest = others.argmin(axis=1)
        right = np.take_along_axis(same_group, nearest[:, None], axis=1)[:, 0]
        pairs = squareform(same_patient & ~same_slice, checks=False)
        same = squareform(same_group, checks=False) & pairs
        near = (squareform(distances, checks=False) < self.delta) & pairs
        return dict(
            top1=_share(right, again), precision=_share(same, near), recall=_share(near, same)
        )


def _equal_pairs(values: Sequence) -> np.ndarray:
    """Return which pairs of values are equal, (n, n) bool."""
    numbers = np.unique(values, return_inverse=True)[1]
    return numbers[:, None] == numbers


def _share(good: np.ndarray, among: np.ndarray) -> float:
    return float(good[among].mean()) if among.any() else float('nan')
