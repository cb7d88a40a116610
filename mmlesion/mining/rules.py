"""Mining of missing annotations by LENS' three rules (its section V)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from mmlesion.froc import box_overlaps, link_boxes
from mmlesion.io.schema import is_target
from mmlesion.structures import SliceBoxes, SliceSeries
from mmlesion.utils import UserError

from .annotations import AnnotationAdder, annotated_boxes
from .proposals import Proposals

if TYPE_CHECKING:
    from .volume_pass import VolumeStore

RULES = ('propagation', 'matching', 'cross_dataset')
"""The rules, in the order in which they are applied; also the ``source`` of mined annotations."""

# A. Cross-slice box propagation


def build_tracklets(proposals: SliceBoxes, iou_thr: float = 0.5, grid_steps: int = 1) -> np.ndarray:
    """Link the boxes of consecutive slices.

    Args:
        proposals: n boxes of a volume.
        iou_thr: Two boxes are joined if their IoU is greater. Defaults to 0.5.
        grid_steps: Positions of boxes from a slice to the next. Defaults to 1, the slices.

    Returns:
        ndarray: (n,) index of each box's tracklet, from 0.
    """
    labels = np.zeros(len(proposals), int)
    return link_boxes(
        proposals.boxes, proposals.scores, proposals.slices, labels, iou_thr, grid_steps
    )


def match_annotations(
    proposals: SliceBoxes, tracklets: np.ndarray, annotations: SliceBoxes, iou_thr: float = 0.5
) -> np.ndarray:
    """Match tracklets to annotations by the IoU on the annotations' slices ("key-slice IoU").

    Args:
        proposals: n boxes of a volume.
        tracklets: (n,) index of each box's tracklet.
        annotations: m boxes.
        iou_thr: A box matches an annotation if their IoU is greater. Defaults to 0.5.

    Returns:
        ndarray: (T, m) bool.
    """
    matched = np.zeros((tracklets.max(initial=-1) + 1, len(annotations)), bool)
    rows, columns, ious = slice_overlap_pairs(proposals, annotations)
    over = ious > iou_thr
    matched[tracklets[rows[over]], columns[over]] = True
    return matched


def propagate(
    proposals: SliceBoxes, tracklets: np.ndarray, annotations: SliceBoxes, iou_thr: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of matched tracklets on slices other than the key slice.

    If a tracklet matches annotations on several slices, each of its boxes is assigned to the one on
    the nearest slice. Boxes on an annotation's slice or matching any annotation are redundant and
    dropped; of two boxes that match each other, the one with the higher score is kept.

    Args:
        proposals: n boxes of a volume.
        tracklets: (n,) index of each box's tracklet.
        annotations: m boxes.
        iou_thr: The IoU above which boxes match. Defaults to 0.5.

    Returns:
        tuple[ndarray, ndarray]: (k,) indices of mined boxes in ``proposals``, ascending, and (k,)
        of their annotations.
    """
    if not len(annotations) or not len(proposals):
        return np.zeros(0, int), np.zeros(0, int)
    allowed = match_annotations(proposals, tracklets, annotations, iou_thr)[tracklets]
    # (n, m) slices between a box and an annotation, infinite unless the tracklet matches it
    distance = np.abs(proposals.slices[:, None] - annotations.slices).astype(float)
    distance[~allowed] = np.inf
    nearest = distance.min(axis=1)
    new = np.isfinite(nearest) & (nearest > 0) & without_overlap(proposals, annotations, iou_thr)
    mined = np.flatnonzero(new)
    mined = mined[suppress(proposals.take(mined), iou_thr)]
    return mined, distance[mined].argmin(axis=1)


# B. Intra-patient lesion matching


def match_embeddings(
    tracklets: np.ndarray, annotations: np.ndarray, max_distance: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Find the annotation with the nearest embedding for each tracklet.

    Args:
        tracklets: (t, D) embeddings of the tracklets of a patient.
        annotations: (m, D) embeddings of the patient's annotations, of all studies and series.
        max_distance: A pair matches if its L2 distance is smaller. Defaults to 0.15.

    Returns:
        tuple[ndarray, ndarray]: (t,) index of the annotation, -1 where none is near enough, and
        (t,) distance to the nearest, infinite if there are no annotations.
    """
    if not len(annotations) or not len(tracklets):
        return np.full(len(tracklets), -1), np.full(len(tracklets), np.inf)
    distances = cdist(tracklets, annotations)
    nearest, least = distances.argmin(axis=1), distances.min(axis=1)
    return np.where(least < max_distance, nearest, -1), least


# C. Cross-dataset lesion mining


def uncertain_regions(
    detections: SliceBoxes, known: SliceBoxes, score_thr: float = 0.5, iou_thr: float = 0.5
) -> np.ndarray:
    """Select high-scoring detections that overlap no annotated or mined lesion.

    Args:
        detections: n boxes of a volume, by the experts of single-type datasets.
        known: m annotated and mined boxes. A detection that overlaps any of them is dropped.
        score_thr: Minimum score (exclusive). Defaults to 0.5.
        iou_thr: Of two detections with a greater IoU, such as those of several experts on one
            lesion, the one with the higher score is kept. Defaults to 0.5.

    Returns:
        ndarray: (k,) indices into ``detections``, ascending.
    """
    picked = np.flatnonzero(detections.scores > score_thr)
    picked = picked[without_overlap(detections.take(picked), known, 0)]
    return picked[suppress(detections.take(picked), iou_thr)]


# Overlaps on a slice


def slice_overlap_pairs(
    first: SliceBoxes, second: SliceBoxes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the IoU of all pairs of boxes on the same slice.

    Returns:
        tuple[ndarray]: (p,) indices into ``first``, ascending, (p,) into ``second``, and (p,) IoU.
    """
    rows, columns = np.nonzero(first.slices[:, None] == second.slices)
    ious = box_overlaps(first.boxes[rows], second.boxes[columns], inclusive=False)
    return rows, columns, np.nan_to_num(ious)


def without_overlap(boxes: SliceBoxes, known: SliceBoxes, iou_thr: float) -> np.ndarray:
    """Return which boxes, (n,) bool, have no known box with an IoU over ``iou_thr`` on a slice."""
    rows, _, ious = slice_overlap_pairs(boxes, known)
    free = np.ones(len(boxes), bool)
    free[rows[ious > iou_thr]] = False
    return free


def suppress(boxes: SliceBoxes, iou_thr: float = 0.5) -> np.ndarray:
    """Return the indices, ascending, of boxes that overlap none of a higher score on their slice.

    Boxes that are suppressed themselves suppress no others.
    """
    # In this order the box with the lower index wins; pairs come in the order of their winners, so
    # that it is known whether a winner itself is kept when its turn comes.
    order = np.argsort(-boxes.scores, kind='stable')
    rows, columns, ious = slice_overlap_pairs(boxes.take(order), boxes.take(order))
    conflict = (rows < columns) & (ious > iou_thr)
    kept = np.ones(len(order), bool)
    for winner, loser in zip(rows[conflict], columns[conflict]):
        if kept[winner]:
            kept[loser] = False
    return np.sort(order[kept])


# The rules together


class VolumeLesions:
    """Annotations, proposals and tracklets of a volume.

    Args:
        volume: A series.
        found: Its proposals.
        iou_thr: The IoU above which boxes match, or are linked to a tracklet.

    Attributes:
        pooled: The n pooled proposals on slices; those in between have only linked them.
        tracklets: (n,) index of the tracklet of each of them.
        lesions: The m certain annotations.
        annotated: Their boxes.
        unknown: (t,) tracklets that match none of the m annotations.
        unknown_boxes: The t boxes of highest score in them.
    """

    def __init__(self, volume: SliceSeries, found: Proposals, iou_thr: float) -> None:
        self.volume, self.found = volume, found
        linked = build_tracklets(found.pooled, iou_thr, found.grid_steps)
        on_slices = found.pooled.slices % 1 == 0
        self.pooled = found.pooled.take(on_slices)
        # numbered anew, as tracklets between two slices have no box left
        self.tracklets = np.unique(linked[on_slices], return_inverse=True)[1]
        self.lesions = list(filter(is_target, volume.annotations))
        self.annotated = annotated_boxes(volume.images.values(), self.lesions)
        # uncertain annotations do not count, so that a tracklet on one is unknown
        matched = match_annotations(self.pooled, self.tracklets, self.annotated, iou_thr)
        self.unknown = np.flatnonzero(~matched.any(axis=1))
        order = np.argsort(-self.pooled.scores, kind='stable')
        _, first = np.unique(self.tracklets[order], return_index=True)
        self.unknown_boxes = self.pooled.take(order[first][self.unknown])


class AnnotationMiner:
    """Apply the rules to all volumes of a COCO file.

    Existing annotations are not changed, except that missing ``source`` ('annotated') and
    ``lesion_id`` are added. Mined ones have the rule's name as ``source``, a ``score``, and the
    ``lesion_id`` of their tracklet's lesion; those of 'cross_dataset' have ``ignore`` 1.

    Args:
        coco: The COCO file's content, modified in place.
        proposals: Proposals of all volumes.
        rules: Some of :data:`RULES`.
        single_type: Numbers and names of the experts for 'cross_dataset'.
        embeddings: Embeddings for 'matching'.
        iou_thr: The IoU above which boxes match. Defaults to 0.5.
        max_distance: The distance of embeddings below which lesions match. Defaults to 0.15.
        score_thr: Minimum score of uncertain regions (exclusive). Defaults to 0.5.
        unlabeled: Whether slices without a lesion are also listed, with their uncertain
            regions. Defaults to False.

    Raises:
        UserError: If 'matching' is among the rules, and there are no embeddings.
    """

    def __init__(
        self,
        coco: dict,
        proposals: VolumeStore,
        rules: Sequence[str] = RULES,
        single_type: Mapping[int, str] | None = None,
        embeddings: VolumeStore | None = None,
        iou_thr: float = 0.5,
        max_distance: float = 0.15,
        score_thr: float = 0.5,
        unlabeled: bool = False,
    ) -> None:
        if 'matching' in rules and embeddings is None:
            raise UserError(
                "the rule 'matching' compares embeddings: give them, or leave it out of the rules"
            )
        self.coco = coco
        self.proposals = proposals
        self.rules = rules
        self.single_type = single_type or {}
        self.embeddings = embeddings
        self.iou_thr, self.max_distance, self.score_thr = iou_thr, max_distance, score_thr
        self.unlabeled = unlabeled
        self._adder = AnnotationAdder(coco)

    def run(self, volumes: Iterable[SliceSeries]) -> None:
        """Mine all volumes of the COCO content; add annotations and images to it."""

        def patient_of(volume: SliceSeries) -> str:
            return str(volume.patient)

        # Matching looks at all studies of a patient, and at nothing else.
        for _, same_patient in groupby(sorted(volumes, key=patient_of), patient_of):
            patient = []
            for volume in same_patient:
                found = Proposals.from_arrays(self.proposals.load(volume.name))
                patient.append(VolumeLesions(volume, found, self.iou_thr))
            for known, matches in zip(patient, self._match(patient)):
                self._mine_volume(known, matches)

    def _match(self, patient: Sequence[VolumeLesions]) -> list[list[tuple[int, dict, float]]]:
        """Return each volume's matched tracklets, with annotation and distance, nearest first."""
        if 'matching' not in self.rules or self.embeddings is None:
            return [[] for _ in patient]
        lesions = [lesion for known in patient for lesion in known.lesions]
        annotated, tracked = [np.zeros((0, 0))], []
        for known in patient:
            arrays = self.embeddings.load(known.volume.name)
            # the annotations first, then the unknown tracklets
            rows = arrays.get('embeddings', np.zeros((0, 0)))
            annotated.append(rows[: len(known.lesions)])
            tracked.append(rows[len(known.lesions) :])
        # volumes without any have arrays of another width
        references = np.concatenate(list(filter(len, annotated)) or annotated[:1])
        matches = []
        for known, rows in zip(patient, tracked):
            nearest, distance = match_embeddings(rows, references, self.max_distance)
            hits = [i for i in np.argsort(distance, kind='stable') if nearest[i] >= 0]
            matches.append(
                [(known.unknown[i], lesions[nearest[i]], float(distance[i])) for i in hits]
            )
        return matches

    def _mine_volume(
        self, known: VolumeLesions, matches: Iterable[tuple[int, dict, float]]
    ) -> None:
        # Each rule leaves out boxes that match those annotated or accepted before.
        volume = known.volume
        accepted = annotated_boxes(volume.images.values(), volume.annotations)
        if 'propagation' in self.rules:
            accepted = SliceBoxes.concat([accepted, self._propagate(known)])
        for match in matches:
            accepted = SliceBoxes.concat([accepted, self._add_tracklet(known, accepted, *match)])
        if self.unlabeled:
            for place in range(len(volume.slices)):
                self._adder.list_image(volume, place)
        if 'cross_dataset' in self.rules:
            self._ignore(known, accepted)

    def _propagate(self, known: VolumeLesions) -> SliceBoxes:
        mined, owners = propagate(known.pooled, known.tracklets, known.annotated, self.iou_thr)
        for index, owner in zip(mined, owners):
            lesion = known.lesions[owner]
            self._adder.add(
                known.volume, known.pooled, index, 'propagation', lesion, lesion['lesion_id']
            )
        return known.pooled.take(mined)

    def _add_tracklet(
        self,
        known: VolumeLesions,
        accepted: SliceBoxes,
        tracklet: int,
        lesion: dict,
        distance: float,
    ) -> SliceBoxes:
        # the tracklet's boxes without those that repeat an accepted one, or one another
        index = np.flatnonzero(known.tracklets == tracklet)
        index = index[without_overlap(known.pooled.take(index), accepted, self.iou_thr)]
        index = index[suppress(known.pooled.take(index), self.iou_thr)]
        lesion_id = self._adder.new_lesion() if len(index) else None
        extra = dict(matched_id=lesion['id'], distance=round(distance, 4))
        for i in index:
            self._adder.add(known.volume, known.pooled, i, 'matching', lesion, lesion_id, **extra)
        return known.pooled.take(index)

    def _ignore(self, known: VolumeLesions, accepted: SliceBoxes) -> None:
        experts, expert = known.found.experts, known.found.expert
        # of single-type experts, on listed slices
        used = np.isin(expert, list(self.single_type))
        used &= np.isin(experts.slices, list(known.volume.images))
        experts, expert = experts.take(used), expert[used]
        category = dict(category_id=self.coco['categories'][0]['id'], lesion_type=-1)
        for i in uncertain_regions(experts, accepted, self.score_thr, self.iou_thr):
            extra = dict(ignore=1, expert=self.single_type[int(expert[i])])
            lesion_id = self._adder.new_lesion()
            self._adder.add(known.volume, experts, i, 'cross_dataset', category, lesion_id, **extra)
