"""Embeddings of a volume's annotations and tracklets (LENS, Intra-Patient Lesion Matching)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.structures import SliceBoxes, SliceSeries, file_box

from .proposals import Proposals, pipeline_sample
from .rules import best_boxes, build_tracklets, match_annotations

if TYPE_CHECKING:
    from mmengine.model import BaseModel

    from .volume_pass import VolumeStore


class VolumeLesions:
    """Annotations, proposals and tracklets of a volume.

    Args:
        volume: A series.
        arrays: Its proposals, as saved by the detection pass.
        iou_thr: The IoU above which boxes match, or are linked to a tracklet.

    Attributes:
        proposals: All of them, but the pooled ones between slices, which have linked
            those on them.
        tracklets: (n,) index of the tracklet of each pooled proposal.
        lesions: The m certain annotations.
        annotated: Their boxes.
        all_annotated: Boxes of all annotations, including ignored and noisy ones.
        unknown: (t,) tracklets that match none of the m annotations.
        unknown_boxes: (t,) the proposal of each of them with the highest score.
    """

    def __init__(
        self, volume: SliceSeries, arrays: Mapping[str, np.ndarray], iou_thr: float
    ) -> None:
        self.volume = volume
        found = Proposals.from_arrays(arrays)
        linked = build_tracklets(found.pooled, iou_thr, found.grid_steps)
        on_slices = found.pooled.slices % 1 == 0
        self.proposals = found._replace(pooled=found.pooled.take(on_slices))
        # numbered anew, as tracklets between two slices have no box left
        self.tracklets = np.unique(linked[on_slices], return_inverse=True)[1]
        self.lesions = list(filter(is_target, volume.annotations))
        self.annotated = annotated_boxes(volume, self.lesions)
        self.all_annotated = annotated_boxes(volume, volume.annotations)
        # (tracklets, m): uncertain annotations do not count, so that a tracklet on one is unknown
        meets = match_annotations(self.proposals.pooled, self.tracklets, self.annotated, iou_thr)
        self.unknown = np.flatnonzero(~meets.any(axis=1))
        self.unknown_boxes = best_boxes(self.proposals.pooled, self.tracklets)[self.unknown]


def annotated_boxes(volume: SliceSeries, annotations: Sequence[dict]) -> SliceBoxes:
    """Return the boxes of a volume's COCO annotations.

    Args:
        volume: A series.
        annotations: Some of its annotations.

    Returns:
        SliceBoxes: In their order, in mmdet's frame; the scores are 1.
    """
    # volume.images has the series' listed slices by number; annotations name them by id
    number_of = {image['id']: number for number, image in volume.images.items()}
    boxes, slices = [], []
    for annotation in annotations:
        number = number_of[annotation['image_id']]
        boxes.append(file_box(annotation, volume.images[number]))
        slices.append(number)
    corners = np.array(boxes, float).reshape(-1, 4)
    return SliceBoxes(corners, np.array(slices, int), np.ones(len(annotations)))


class EmbeddingSteps:
    """Model-specific steps of a :class:`VolumePass` for an embedding.

    Args:
        model: A model as :class:`~mmlesion.models.LesionEmbedding`.
        root: The folder of the images.
        store: Where the proposals are.
        iou_thr: See :class:`VolumeLesions`.
    """

    def __init__(
        self, model: BaseModel, root: Path | str, store: VolumeStore, iou_thr: float
    ) -> None:
        self.model = model
        self.root = root
        self.store = store
        self.iou_thr = iou_thr

    def samples_of(self, volume: SliceSeries) -> list[dict]:
        """Return pipeline inputs, one per lesion: annotations first, then unmatched tracklets."""
        known = VolumeLesions(volume, self.store.load(volume.name), self.iou_thr)
        tracked = known.proposals.pooled.take(known.unknown_boxes)
        lesions = SliceBoxes.concat([known.annotated, tracked])
        # all slices of the series are listed, ascending: places are positions of their numbers
        places = np.searchsorted(volume.slices, lesions.slices).tolist()
        samples = []
        for place, box in zip(places, lesions.boxes.tolist()):
            instance = dict(bbox=box, bbox_label=0, ignore_flag=0)
            samples.append(pipeline_sample(volume.image(place), self.root, [instance]))
        return samples

    def predict(self, batch: dict) -> list[dict[str, np.ndarray]]:
        """Return an array ``embeddings`` (1, D) for each lesion of a batch."""
        found = self.model.test_step(batch)
        return [dict(embeddings=sample.embedding[None].cpu().numpy()) for sample in found]


def split_embeddings(
    arrays: Mapping[str, np.ndarray], known: VolumeLesions
) -> tuple[np.ndarray, np.ndarray]:
    """Split the embeddings that a pass of :class:`EmbeddingSteps` saved for a volume.

    Args:
        arrays: The volume's arrays.
        known: Of the same volume.

    Returns:
        tuple: (m, D) of the certain annotations and (t, D) of the unknown tracklets, in the order
        of ``known``.
    """
    embeddings = arrays.get('embeddings', np.zeros((0, 0)))
    # samples_of lists the annotations first
    count = len(known.lesions)
    return embeddings[:count], embeddings[count:]
