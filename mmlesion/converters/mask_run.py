"""GrabCut masks of a whole COCO file, in parallel and resumable.

Finished masks are appended to a side file, one line per lesion; its first line identifies the run.
A killed run loses at most the images in progress.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import cv2
from tqdm import tqdm

from mmlesion.io.atomic import writing
from mmlesion.io.deeplesion import BOX_PADDING
from mmlesion.io.schema import ABDOMEN_WINDOW, path_under
from mmlesion.io.slices import read_hu
from mmlesion.structures import encode_mask
from mmlesion.utils import UserError
from mmlesion.utils.parallel import parallel_map
from mmlesion.visualization.windows import display_window

from .base import Run, Skipped, count_kinds
from .grabcut import recist_from_box, recist_mask

NO_RECIST, NO_IMAGE, BAD_IMAGE, BAD_RECIST = (
    'without RECIST',
    'missing image',
    'unreadable image',
    'unusable RECIST or box',
)


@dataclass(frozen=True)
class MaskOptions:
    """Options of mask generation.

    Attributes:
        window (tuple[float]): HU window of GrabCut's input for images without ``windows``; for
            others their first window is used.
        from_box (bool): Whether the axes of the ellipse inscribed in the box replace missing
            RECIST.
        box_padding (float): See :func:`recist_from_box`.
        margin (int, optional): See :func:`recist_mask`.
        iterations (int): See :func:`recist_mask`.
    """

    window: tuple = ABDOMEN_WINDOW
    from_box: bool = False
    box_padding: float = BOX_PADDING
    margin: int | None = 20
    iterations: int = 5

    def fingerprint(self, annotations: bytes) -> str:
        """Return a digest of the options and the annotation file's bytes."""
        return sha256(json.dumps(asdict(self)).encode() + annotations).hexdigest()


class MaskRun:
    """Generates the masks of a COCO dictionary's annotations.

    Args:
        coco (dict): ``images`` and ``annotations`` with ``recist``.
        images (str | Path): The folder that ``file_name`` is relative to.
        options (MaskOptions): Options of mask generation.
        policy (Run, optional): Whether a lesion that gets no mask is an error. Defaults to None,
            it is not.

    Attributes:
        masks (dict[int, dict]): ``segmentation`` (RLE) and ``mask_source`` by the annotation's
            place in the file.
        skipped (list[Skipped]): The lesions that got none.
    """

    def __init__(
        self, coco: dict, images: str | Path, options: MaskOptions, policy: Run | None = None
    ):
        self.annotations = coco['annotations']
        self.images = {image['id']: image for image in coco['images']}
        self.root = images
        self.options = options
        self.policy = policy or Run('', 'lesion')
        self.masks: dict[int, dict] = {}
        self.skipped: list[Skipped] = []

    def run(self, workers: int = 1, partial_file: PartialFile | None = None) -> None:
        """Fill ``masks`` and ``problems``, independent of ``workers``.

        Args:
            workers (int): Processes.
            partial_file (PartialFile, optional): File from which finished masks are read and to
                which new ones are added.

        Raises:
            UserError: If a file name leads outside the folder, a worker dies, or with a strict
                policy a lesion gets no mask.
        """
        if partial_file is not None:
            self.masks.update(partial_file.finished)
        jobs = self.jobs()
        todo = sum(len(lesions) for _, lesions in jobs)
        done = len(self.masks)
        progress = tqdm(total=done + todo, initial=done, desc='masks', unit='lesion')
        pool = parallel_map(workers, _single_thread, chunksize=4, resumable=True)
        with progress, pool as run_all:
            for masks, skipped in run_all(partial(_segment, options=self.options), jobs):
                if partial_file is not None:
                    partial_file.add(masks)
                self.masks.update(masks)
                for one in skipped:
                    self._skip(one.message, one.kind)
                progress.update(len(masks) + len(skipped))

    def counts(self) -> Counter:
        """Count masks by their source, and lesions without a mask by the reason."""
        sources = Counter(mask['mask_source'] for mask in self.masks.values())
        return sources + count_kinds(self.skipped)

    def jobs(self) -> list[tuple]:
        """List the jobs in order: (path, image) and its lesions (index, recist, bbox)."""
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
        images = self.images
        return [
            ((path_under(self.root, images[key]['file_name']), images[key]), lesions)
            for key, lesions in jobs.items()
        ]

    def _skip(self, message, kind):
        self.skipped.append(self.policy.skip(message, kind))


class PartialFile:
    """Finished lesions, appended as one JSON line each.

    Args:
        path (str | Path): The file. It is created, or resumed if it belongs to the same run; an
            incomplete last line is removed.
        fingerprint (str): Identifies the run.

    Attributes:
        finished (dict[int, dict]): Results of an earlier run.

    Raises:
        UserError: If the file belongs to other annotations or options, or cannot be written.
    """

    def __init__(self, path: str | Path, fingerprint: str):
        self.path = Path(path)
        self.fingerprint = fingerprint
        self.finished: dict[int, dict] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, 'a+b')
        except OSError as error:
            raise UserError(f'{path} cannot be written: {error.strerror}') from None
        try:
            self._take_up()
        except UserError:
            self._file.close()
            raise

    def add(self, masks: Mapping[int, dict]) -> None:
        """Append finished masks by their index, robust to a kill of this process."""
        records = [{'annotation': index, **mask} for index, mask in masks.items()]
        if records and self._file.tell() == 0:
            records.insert(0, {'fingerprint': self.fingerprint})
        with writing(self.path):
            for record in records:
                self._file.write(json.dumps(record).encode() + b'\n')
            self._file.flush()

    def close(self) -> None:
        """Close the file, and delete it if nothing is in it."""
        with writing(self.path):
            empty = self._file.tell() == 0
            self._file.close()
            if empty:
                self.path.unlink()

    def remove(self) -> None:
        """Delete the closed file after the result has been written."""
        self.path.unlink(missing_ok=True)

    def _take_up(self):
        self._file.seek(0)
        records, size = _whole_records(self._file)
        if records and records[0].get('fingerprint') != self.fingerprint:
            raise UserError(
                f'{self.path} was left by a run with other annotations or options: go on with '
                'those, or delete it to start again'
            )
        self._file.truncate(size)
        self._file.seek(size)
        self.finished = {record.pop('annotation'): record for record in records[1:]}


def first_window(image: dict, default: Sequence[float]) -> tuple[float, float]:
    """Return the first of a COCO image's windows, [[low, high], ...] or one [low, high], HU.

    Raises:
        UserError: If its ``windows`` are anything else.
    """
    return tuple(display_window(image, default).tolist())


def _segment(job, options):
    """Return masks by annotation index, and the lesions of an image that get none."""
    (path, image), lesions = job
    try:
        hu = read_hu(path)
        _check_size(path, hu, image)
    except FileNotFoundError:
        return {}, [Skipped(f'there is no image {path}', NO_IMAGE)] * len(lesions)
    except UserError as error:
        return {}, [Skipped(str(error), BAD_IMAGE)] * len(lesions)
    window = first_window(image, options.window)
    masks, skipped = {}, []
    for index, recist, box in lesions:
        try:
            found = recist_mask(hu, recist, box, window, options.margin, options.iterations)
        except ValueError as error:
            skipped.append(Skipped(f'a lesion of {image["file_name"]}: {error}', BAD_RECIST))
            continue
        masks[index] = {'segmentation': encode_mask(found.mask), 'mask_source': found.source}
    return masks, skipped


def _check_size(path, hu, image):
    size = (image.get('height', hu.shape[0]), image.get('width', hu.shape[1]))
    if hu.shape != size:
        raise UserError(
            f'{path} is {hu.shape[1]} x {hu.shape[0]} px, but annotated as {size[1]} x {size[0]} px'
        )


def _single_thread():
    # Threads of several workers would only get into each other's way.
    cv2.setNumThreads(1)


def _whole_records(file):
    """Return the JSON lines before the first incomplete one, and their size in bytes."""
    records, size = [], 0
    for line in file:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b'\n') or not isinstance(record, dict):
            break
        records.append(record)
        size += len(line)
    return records, size
