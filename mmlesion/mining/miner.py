"""Mining of missing annotations: from proposals to a training annotation file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmlesion.structures import SliceBoxes, SliceSeries
from mmlesion.utils import UserError

from .additions import AnnotationAdder
from .embeddings import VolumeLesions, split_embeddings
from .rules import match_embeddings, propagate, suppress, uncertain_regions, without_overlap

if TYPE_CHECKING:
    from .volume_pass import VolumeStore

RULES = ('propagation', 'matching', 'cross_dataset')
"""The rules, in the order in which they are applied; also the ``source`` of mined annotations."""


class _Match(NamedTuple):
    """A tracklet whose lesion is annotated elsewhere in the patient.

    Args:
        tracklet: Its index in the volume.
        lesion: The annotation with the nearest embedding.
        distance: Of the two embeddings.
    """

    tracklet: int
    lesion: dict
    distance: float


class AnnotationMiner:
    """Apply mining rules to all volumes of a COCO file (LENS, section Missing Annotation Mining).

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
        """Mine all volumes and add annotations and images to the COCO content.

        Args:
            volumes: Of the COCO content.
        """
        # Matching looks at all studies of a patient, and at nothing else.
        for _, patient in groupby(sorted(volumes, key=_patient), _patient):
            self._mine_patient(list(patient))

    def _mine_patient(self, volumes: Iterable[SliceSeries]) -> None:
        patient = []
        for volume in volumes:
            arrays = self.proposals.load(volume.name)
            patient.append(VolumeLesions(volume, arrays, self.iou_thr))
        # the same empty list for each volume, which nobody appends to
        matches: list[list[_Match]] = [[]] * len(patient)
        if 'matching' in self.rules and self.embeddings is not None:
            matches = self._match(patient, self.embeddings)
        for known, matched in zip(patient, matches):
            self._mine_volume(known, matched)

    def _match(
        self, patient: Sequence[VolumeLesions], embeddings: VolumeStore
    ) -> list[list[_Match]]:
        """Return the matched tracklets of each volume, in ascending order of distance."""
        rows, tracked, lesions = [], [], []
        for known in patient:
            annotated, own = split_embeddings(embeddings.load(known.volume.name), known)
            rows.append(annotated)
            tracked.append(own)
            lesions += known.lesions
        # one row per lesion; volumes without any have arrays of another width
        annotated = np.concatenate(list(filter(len, rows)) or [np.zeros((0, 0))])
        return [
            self._match_volume(known, own, annotated, lesions)
            for known, own in zip(patient, tracked)
        ]

    def _match_volume(
        self, known: VolumeLesions, tracked: np.ndarray, annotated: np.ndarray, lesions: list[dict]
    ) -> list[_Match]:
        """Return a volume's tracklets that match one of the patient's lesions."""
        nearest, distance = match_embeddings(tracked, annotated, self.max_distance)
        # rows of `tracked` that match, the nearest first; known.unknown has their tracklets
        hits = np.flatnonzero(nearest >= 0)
        hits = hits[np.argsort(distance[hits], kind='stable')]
        matches = []
        for hit in hits:
            lesion = lesions[nearest[hit]]
            matches.append(_Match(known.unknown[hit], lesion, float(distance[hit])))
        return matches

    def _mine_volume(self, known: VolumeLesions, matched: Sequence[_Match]) -> None:
        # Each rule leaves out boxes that match those annotated or accepted before.
        accepted = [known.all_annotated]
        if 'propagation' in self.rules:
            accepted.append(self._propagate(known))
        for match in matched:
            accepted.append(self._match_one(known, match, SliceBoxes.concat(accepted)))
        listed = range(len(known.volume.slices)) if self.unlabeled else ()
        for place in listed:
            self._adder.list_image(known.volume, place)  # which adds the slice to the images
        if 'cross_dataset' in self.rules:
            self._ignore(known, SliceBoxes.concat(accepted))

    def _propagate(self, known: VolumeLesions) -> SliceBoxes:
        pooled = known.proposals.pooled
        mined, owners = propagate(pooled, known.tracklets, known.annotated, self.iou_thr)
        for index, owner in zip(mined, owners):
            lesion = known.lesions[owner]
            self._adder.add(known.volume, pooled, index, 'propagation', lesion, lesion['lesion_id'])
        return pooled.take(mined)

    def _match_one(self, known: VolumeLesions, match: _Match, accepted: SliceBoxes) -> SliceBoxes:
        pooled = known.proposals.pooled
        # the tracklet's boxes without those that repeat an accepted one, or one another
        index = np.flatnonzero(known.tracklets == match.tracklet)
        index = index[without_overlap(pooled.take(index), accepted, self.iou_thr)]
        index = index[suppress(pooled.take(index), self.iou_thr)]
        lesion_id = self._adder.new_lesion() if len(index) else None
        lesion = match.lesion
        extra = dict(matched_id=lesion['id'], distance=round(match.distance, 4))
        for i in index:
            self._adder.add(known.volume, pooled, i, 'matching', lesion, lesion_id, **extra)
        return pooled.take(index)

    def _ignore(self, known: VolumeLesions, accepted: SliceBoxes) -> None:
        single = np.isin(known.proposals.expert, list(self.single_type))
        experts = known.proposals.experts.take(single)
        listed = np.isin(experts.slices, list(known.volume.images))
        experts = experts.take(listed)
        # the expert of each box that is left: of one of the rule's, on a listed slice
        expert = known.proposals.expert[single][listed]
        category = dict(category_id=self.coco['categories'][0]['id'], lesion_type=-1)
        for i in uncertain_regions(experts, accepted, self.score_thr, self.iou_thr):
            extra = dict(ignore=1, expert=self.single_type[int(expert[i])])
            lesion_id = self._adder.new_lesion()
            self._adder.add(known.volume, experts, i, 'cross_dataset', category, lesion_id, **extra)


def _patient(volume: SliceSeries) -> str:
    return str(volume.patient)
