"""Mining of missing annotations: from proposals to a training annotation file."""

from itertools import count, groupby

import numpy as np

from mmlesion.io.schema import make_annotation
from mmlesion.structures import SliceBoxes, file_shift

from .cross_dataset import uncertain_regions
from .embeddings import VolumeLesions, split_embeddings
from .matching import match_embeddings
from .propagation import propagate
from .tracklets import free_of, suppress

RULES = ('propagation', 'matching', 'cross_dataset')
"""The rules, in the order in which they are applied; also what ``source`` of annotations says."""


class AnnotationMiner:
    """Applies mining rules to all volumes of a COCO file (LENS, section Missing Annotation Mining).

    Existing annotations are not changed, except that missing ``source`` ('annotated') and
    ``lesion_id`` are added. Mined ones have the rule's name as ``source``, a ``score``, and the
    ``lesion_id`` of their tracklet's lesion; those of 'cross_dataset' have ``ignore`` 1.

    Args:
        coco (dict): The COCO file's content, modified in place.
        proposals (VolumeStore): Proposals of all volumes.
        rules (Sequence[str]): Some of :data:`RULES`.
        single_type (dict[int, str]): Numbers and names of the experts for 'cross_dataset'.
        embeddings (VolumeStore, optional): Embeddings for 'matching'.
        theta (float): The IoU above which boxes match. Defaults to 0.5.
        delta (float): The distance of embeddings below which lesions match. Defaults to 0.15.
        sigma (float): Minimum score of uncertain regions (exclusive). Defaults to 0.5.
        unlabelled (bool): Whether slices without a lesion are also listed, with their uncertain
            regions. Defaults to False.
    """

    def __init__(
        self,
        coco,
        proposals,
        rules=RULES,
        single_type=None,
        embeddings=None,
        theta=0.5,
        delta=0.15,
        sigma=0.5,
        unlabelled=False,
    ):
        self.coco = coco
        self.proposals = proposals
        self.rules = rules
        self.single_type = single_type or {}
        self.embeddings = embeddings
        self.theta, self.delta, self.sigma = theta, delta, sigma
        self.unlabelled = unlabelled
        annotations = coco['annotations']
        self._image_ids = count(1 + max((image['id'] for image in coco['images']), default=0))
        self._ids = count(1 + max((a['id'] for a in annotations), default=0))
        self._lesion_ids = count(1 + max((a.get('lesion_id', 0) for a in annotations), default=0))

    def run(self, volumes):
        """Mine all volumes and add annotations and images to the COCO content.

        Args:
            volumes (Iterable[SliceSeries]): Of the COCO content.
        """
        for annotation in self.coco['annotations']:
            annotation.setdefault('source', 'annotated')
            if 'lesion_id' not in annotation:
                annotation['lesion_id'] = next(self._lesion_ids)
        for _, patient in groupby(sorted(volumes, key=_patient), _patient):
            self._mine_patient(list(patient))

    def _mine_patient(self, volumes):
        patient = [
            VolumeLesions(volume, self.proposals.load(volume.name), self.theta)
            for volume in volumes
        ]
        matches = self._match(patient) if 'matching' in self.rules else [[]] * len(patient)
        for known, matched in zip(patient, matches):
            self._mine_volume(known, matched)

    def _match(self, patient):
        """Return, by volume, (tracklet, annotation, distance) of the matched tracklets."""
        stored = [
            split_embeddings(self.embeddings.load(known.volume.name), known) for known in patient
        ]
        annotated = np.concatenate([a for a, _ in stored if len(a)] or [np.zeros((0, 0))])
        lesions = [lesion for known in patient for lesion in known.lesions]
        matches = []
        for known, (_, tracked) in zip(patient, stored):
            nearest, distance = match_embeddings(tracked, annotated, self.delta)
            hits = np.flatnonzero(nearest >= 0)
            hits = hits[np.argsort(distance[hits], kind='stable')]
            matches.append(
                [(known.unknown[i], lesions[nearest[i]], float(distance[i])) for i in hits]
            )
        return matches

    def _mine_volume(self, known, matched):
        accepted = [known.all_annotated]
        if 'propagation' in self.rules:
            accepted.append(self._propagate(known))
        for tracklet, lesion, distance in matched:
            index = np.flatnonzero(known.tracklets == tracklet)
            accepted.append(self._match_one(known, index, lesion, distance, accepted))
        listed = range(len(known.volume.slices)) if self.unlabelled else ()
        for place in listed:
            self._image_id(known.volume, place)
        if 'cross_dataset' in self.rules:
            self._ignore(known, SliceBoxes.concat(accepted))

    def _propagate(self, known):
        pooled = known.proposals.pooled
        mined, owners = propagate(pooled, known.tracklets, known.annotated, self.theta)
        for index, owner in zip(mined, owners):
            lesion = known.lesions[owner]
            self._add(known.volume, pooled, index, 'propagation', lesion, lesion['lesion_id'])
        return pooled.take(mined)

    def _match_one(self, known, index, lesion, distance, accepted):
        pooled = known.proposals.pooled
        index = index[free_of(pooled.take(index), SliceBoxes.concat(accepted), self.theta)]
        index = index[suppress(pooled.take(index), self.theta)]
        lesion_id = next(self._lesion_ids) if len(index) else None
        extra = dict(matched_id=lesion['id'], distance=round(distance, 4))
        for i in index:
            self._add(known.volume, pooled, i, 'matching', lesion, lesion_id, **extra)
        return pooled.take(index)

    def _ignore(self, known, accepted):
        single = np.isin(known.proposals.expert, list(self.single_type))
        experts = known.proposals.experts.take(single)
        listed = np.isin(experts.slices, list(known.volume.images))
        experts = experts.take(listed)
        expert = known.proposals.expert[single][listed]
        category = dict(category_id=self.coco['categories'][0]['id'], lesion_type=-1)
        for i in uncertain_regions(experts, accepted, self.sigma, self.theta):
            extra = dict(ignore=1, expert=self.single_type[int(expert[i])])
            lesion_id = next(self._lesion_ids)
            self._add(known.volume, experts, i, 'cross_dataset', category, lesion_id, **extra)

    def _add(self, volume, boxes, index, source, lesion, lesion_id, **extra):
        """Add a box with the category and type of ``lesion``."""
        place = np.searchsorted(volume.slices, boxes.slices[index])
        image_id = self._image_id(volume, place)
        image = volume.images[int(boxes.slices[index])]
        size = [image['width'], image['height']]
        box = boxes.boxes[index].astype(float).clip(0, [*size, *size]) - file_shift(image)
        low, high = box.reshape(2, 2).round(2)
        width, height = (high - low).round(2).tolist()
        annotation = make_annotation(
            [*low.tolist(), width, height],
            round(width * height, 2),
            source=source,
            id=next(self._ids),
            image_id=image_id,
            category_id=lesion['category_id'],
            lesion_type=lesion.get('lesion_type', -1),
            score=round(float(boxes.scores[index]), 4),
            lesion_id=lesion_id,
            **extra,
        )
        self.coco['annotations'].append(annotation)

    def _image_id(self, volume, place):
        """Return the id of a slice's image; add the image if it is not listed."""
        image = volume.image(place)
        if 'id' not in image:
            image = dict(id=next(self._image_ids), **image)
            volume.images[image['slice_index']] = image
            self.coco['images'].append(image)
        return image['id']


def _patient(volume):
    return str(volume.patient)
