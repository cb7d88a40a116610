"""Embeddings of a volume's annotations and tracklets, for LENS' intra-patient lesion matching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlesion.structures import SliceBoxes, SliceSeries

from .proposals import Proposals, pipeline_sample
from .rules import VolumeLesions

if TYPE_CHECKING:
    from mmengine.model import BaseModel

    from .volume_pass import VolumeStore


def lesion_samples(
    volume: SliceSeries, root: Path | str, proposals: VolumeStore, iou_thr: float
) -> list[dict]:
    """Return pipeline inputs, one per lesion: annotations first, then unmatched tracklets.

    Args:
        volume: A series.
        root: The folder of the images.
        proposals: Proposals of all volumes.
        iou_thr: See :class:`VolumeLesions`.
    """
    found = Proposals.from_arrays(proposals.load(volume.name))
    known = VolumeLesions(volume, found, iou_thr)
    lesions = SliceBoxes.concat([known.annotated, known.unknown_boxes])
    # all slices of the series are listed, ascending: places are positions of their numbers
    places = np.searchsorted(volume.slices, lesions.slices).tolist()
    samples = []
    for place, box in zip(places, lesions.boxes.tolist()):
        instance = dict(bbox=box, bbox_label=0, ignore_flag=0)
        samples.append(pipeline_sample(volume.image(place), root, [instance]))
    return samples


def embed(model: BaseModel, batch: dict) -> list[dict[str, np.ndarray]]:
    """Return an array ``embeddings`` (1, D) for each lesion of a batch.

    Args:
        model: A model as :class:`~mmlesion.models.LesionEmbedding`.
        batch: Collated outputs of a pipeline.
    """
    found = model.test_step(batch)
    return [dict(embeddings=sample.embedding[None].cpu().numpy()) for sample in found]
