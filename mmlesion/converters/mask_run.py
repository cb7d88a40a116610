"""GrabCut masks of a whole COCO file, in parallel and resumable.

Finished masks are kept in a folder beside the result until that is written. A killed run loses at
most the images in progress.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from mmlesion.io.deeplesion import BOX_PADDING
from mmlesion.io.json_files import to_json
from mmlesion.io.resume import JSON, Store
from mmlesion.io.schema import ABDOMEN_WINDOW, display_window, path_under
from mmlesion.io.slices import read_hu
from mmlesion.structures import encode_mask, usable_segmentation
from mmlesion.utils import UserError
from mmlesion.utils.parallel import parallel_map

from .base import Run, Skipped
from .grabcut import recist_from_box, recist_mask

NO_RECIST, NO_IMAGE, BAD_IMAGE, BAD_RECIST = (
    'without RECIST',
    'missing image',
    'unreadable image',
    'unusable RECIST or box',
)
MASK_FIELDS = ('segmentation', 'mask_source')
"""What an annotation gets."""


@dataclass(frozen=True)
class MaskOptions:
    """Options of mask generation.

    Attributes:
        window: HU window of GrabCut's input for images without ``windows``; for
            others their first window is used.
        from_box: Whether the axes of the ellipse inscribed in the box replace missing
            RECIST.
        box_padding: See :func:`recist_from_box`.
        margin: See :func:`recist_mask`.
        iterations: See :func:`recist_mask`.
    """

    window: tuple = ABDOMEN_WINDOW
    from_box: bool = False
    box_padding: float = BOX_PADDING
    margin: int | None = 20
    iterations: int = 5

    def fingerprint(self, annotations: bytes) -> str:
        """Return a digest of the options and the annotation file's bytes."""
        return sha256(to_json(asdict(self)).encode() + annotations).hexdigest()


class MaskRun:
    """Generates the masks of a COCO dictionary's annotations.

    Args:
        coco: ``images`` and ``annotations`` with ``recist``.
        images: The folder that ``file_name`` is relative to.
        options: Options of mask generation.
        policy: Whether a lesion that gets no mask is an error. Defaults to None,
            it is not.

    Attributes:
        masks: ``segmentation`` (RLE) and ``mask_source`` by the annotation's
            place in the file.
        skipped: The lesions that got none.
    """

    def __init__(
        self, coco: dict, images: str | Path, options: MaskOptions, policy: Run | None = None
    ) -> None:
        self.annotations = coco['annotations']
        self.images = {image['id']: image for image in coco['images']}
        self.root = images
        self.options = options
        self.policy = policy or Run('', 'lesion')
        self.masks: dict[int, dict] = {}
        self.skipped: list[Skipped] = []

    def run(self, workers: int = 1, store: MaskStore | None = None) -> None:
        """Fill ``masks`` and ``skipped``, independent of ``workers``.

        Args:
            workers: Processes.
            store: Where finished masks are taken from, and new ones added.

        Raises:
            UserError: If a file name leads outside the folder, a worker dies, or with a strict
                policy a lesion gets no mask.
        """
        if store is not None:
            self.masks.update(store.masks(len(self.annotations)))
        if self.masks:
            print(f'going on after {len(self.masks)} lesions that are done')
        jobs = self.jobs()
        todo = sum(len(lesions) for _, lesions in jobs)
        done = len(self.masks)
        progress = tqdm(total=done + todo, initial=done, desc='masks', unit='lesion')
        # Threads of several workers would only get into each other's way.
        single_thread = partial(cv2.setNumThreads, 1)
        pool = parallel_map(workers, single_thread, chunksize=4, resumable=True)
        with progress, pool as run_all:
            for masks, skipped in run_all(partial(_segment, options=self.options), jobs):
                if store is not None:
                    store.add(masks)
                self.masks.update(masks)
                for one in skipped:
                    self._skip(one.message, one.kind)
                progress.update(len(masks) + len(skipped))

    def counts(self) -> Counter:
        """Count masks by their source, and lesions without a mask by the reason."""
        sources = Counter(mask['mask_source'] for mask in self.masks.values())
        return sources + Counter(one.kind for one in self.skipped)

    def jobs(self) -> list[tuple]:
        """List the jobs in order: (path, image) and its lesions (index, recist, bbox)."""
        # A job is an image with all its lesions, so that each slice is read once.
        jobs: dict[int, list[tuple]] = {}
        for index, annotation in enumerate(self.annotations):
            if index in self.masks:
                continue
            x, y, w, h = annotation['bbox']
            box = [x, y, x + w, y + h]
            recist = annotation.get('recist')
            if not recist and not self.options.from_box:
                name = f'annotation {annotation.get("id", index)}'
                self._skip(f'{name} has no "recist"', NO_RECIST)
                continue
            recist = recist or recist_from_box(box, self.options.box_padding).tolist()
            lesion = (index, recist, box)
            jobs.setdefault(annotation['image_id'], []).append(lesion)
        listed: list[tuple] = []
        for key, lesions in jobs.items():
            image = self.images[key]
            listed.append(((path_under(self.root, image['file_name']), image), lesions))
        return listed

    def _skip(self, message: str, kind: str) -> None:
        self.skipped.append(self.policy.skip(message, kind))


class MaskStore(Store):
    """Finished masks, one file per image: a list of them with the index of their annotation."""

    form = JSON
    refusal = (
        'was left by a run with other annotations or options: go on with those, or delete it to '
        'start again'
    )

    def add(self, masks: Mapping[int, dict]) -> None:
        """Write the masks of an image by their annotation's index."""
        if masks:
            entries = [{'annotation': index, **mask} for index, mask in masks.items()]
            # No other part has the same first mask, also of an image of which some failed before.
            self.save(f'{min(masks):07d}', entries)

    def masks(self, count: int) -> dict[int, dict]:
        """Return the finished masks by index, without what is damaged or of another shape.

        Args:
            count: Annotations in the file, below which indices are.
        """
        found: dict[int, dict] = {}
        for entries in self.parts():
            for entry in entries if isinstance(entries, list) else ():
                if _is_mask(entry, count):
                    found[entry.pop('annotation')] = entry
        return found


def _is_mask(entry: Any, count: int) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {'annotation', *MASK_FIELDS}:
        return False
    index, segmentation = entry['annotation'], entry['segmentation']
    is_rle = isinstance(segmentation, dict) and usable_segmentation(segmentation) is not None
    return is_rle and isinstance(index, int) and 0 <= index < count


def _segment(job: tuple, options: MaskOptions) -> tuple[dict[int, dict], list[Skipped]]:
    """Return masks by annotation index, and the lesions of an image that get none."""
    (path, image), lesions = job
    try:
        hu = read_hu(path)
        # A COCO file need not have sizes; where it has them, boxes are of that size.
        height, width = image.get('height', hu.shape[0]), image.get('width', hu.shape[1])
        if hu.shape != (height, width):
            raise UserError(
                f'{path} is {hu.shape[1]} x {hu.shape[0]} px, but annotated as {width} x {height} '
                'px'
            )
    except FileNotFoundError:
        return {}, [Skipped(f'there is no image {path}', NO_IMAGE)] * len(lesions)
    except UserError as error:
        return {}, [Skipped(str(error), BAD_IMAGE)] * len(lesions)
    window = display_window(image, options.window).tolist()
    masks, skipped = {}, []
    for index, recist, box in lesions:
        try:
            found = recist_mask(hu, recist, box, window, options.margin, options.iterations)
        except ValueError as error:
            skipped.append(Skipped(f'a lesion of {image["file_name"]}: {error}', BAD_RECIST))
            continue
        masks[index] = dict(zip(MASK_FIELDS, (encode_mask(found.mask), found.source)))
    return masks, skipped
