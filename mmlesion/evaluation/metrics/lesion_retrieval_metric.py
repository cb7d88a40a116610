"""Evaluation of the retrieval of annotations of the same lesion by embeddings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from scipy.spatial.distance import cdist, squareform


@dataclass(frozen=True, eq=False)
class EmbeddedLesion:
    """The embedding of an annotated lesion.

    No NamedTuple: mmengine makes plain tuples of these on their way between processes.

    Attributes:
        embedding: (D,) float.
        group: The lesion; its annotations on several slices or scans share it.
        patient: The patient.
        slice_path: The slice that is annotated.
    """

    embedding: np.ndarray
    group: Hashable
    patient: Hashable
    slice_path: Hashable


@METRICS.register_module()
class LesionRetrievalMetric(BaseMetric):
    """Evaluate how well embeddings retrieve lesions, for intra-patient lesion matching (LENS).

    Results are ``top1``, the share of the lesions with another annotation of theirs whose nearest
    neighbor among the annotations on all other slices is one of these; and ``precision`` and
    ``recall`` of the pairs of one patient, on different slices, whose distance is below ``delta``.
    A pair is right if it has one ``lesion_group``. NaN where there is nothing to count.

    Args:
        delta: L2 distance. Defaults to 0.15 (LENS).
        collect_device: As in mmengine.
        prefix: Put before the names of results; 'retrieval' by default.
    """

    default_prefix = 'retrieval'

    def __init__(
        self, delta: float = 0.15, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.delta = delta

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the embeddings of a batch.

        Args:
            data_batch: Not used; part of mmengine's interface.
            data_samples: With ``embedding`` (D,), ``lesion_group``,
                ``patient_id`` and ``img_path``.
        """
        for sample in data_samples:
            embedding = sample['embedding'].cpu().numpy()
            lesion = EmbeddedLesion(
                embedding, sample['lesion_group'], sample['patient_id'], sample['img_path']
            )
            self.results.append(lesion)

    def compute_metrics(self, results: list[EmbeddedLesion]) -> dict[str, float]:
        """Compute ``top1``, ``precision`` and ``recall``.

        Args:
            results: Of all n samples.

        Returns:
            dict[str, float]: By name.
        """
        # All of these are (n, n) and symmetric: of annotation i and annotation j.
        same_group = _equal_pairs([lesion.group for lesion in results])
        same_patient = _equal_pairs([lesion.patient for lesion in results])
        same_slice = _equal_pairs([lesion.slice_path for lesion in results])
        embeddings = np.stack([lesion.embedding for lesion in results])
        distances = cdist(embeddings, embeddings)
        # Top 1: the nearest neighbor on another slice, of lesions annotated more than once.
        again = (same_group & ~same_slice).any(axis=1)
        nearest = np.where(same_slice, np.inf, distances).argmin(axis=1)
        right = np.take_along_axis(same_group, nearest[:, None], axis=1)[:, 0]
        # Pairs of one patient, each once: squareform keeps the upper triangle, n (n - 1) / 2.
        pairs = squareform(same_patient & ~same_slice, checks=False)
        same = squareform(same_group, checks=False) & pairs
        near = (squareform(distances, checks=False) < self.delta) & pairs
        return dict(
            top1=_share(right, again), precision=_share(same, near), recall=_share(near, same)
        )


def _equal_pairs(values: Sequence) -> np.ndarray:
    """Return which pairs of n values are equal, (n, n) bool."""
    numbers = np.unique(values, return_inverse=True)[1]
    return numbers[:, None] == numbers


def _share(good: np.ndarray, among: np.ndarray) -> float:
    return float(good[among].mean()) if among.any() else float('nan')
