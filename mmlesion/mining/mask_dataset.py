"""Masks from RECIST for a whole COCO file: several processes, and a run that can be taken up again.

What is done is appended to a side file, a line for each lesion, which says in its first line what
it belongs to. A killed run loses at most the images that were being worked on.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
from tqdm import tqdm

from mmlesion.io.atomic import writing
from mmlesion.io.schema import path_under
from mmlesion.io.slices import read_hu
from mmlesion.structures import encode_mask
from mmlesion.utils import UserError
from mmlesion.utils.parallel import parallel_map
from mmlesion.visualization.local_visualizer import SOFT_TISSUE

from .recist_masks import BOX_PADDING, recist_from_box, recist_mask

NO_RECIST, NO_IMAGE, BAD_IMAGE, BAD_RECIST = (
    'without RECIST',
    'missing image',
    'unreadable image',
    'unusable RECIST or box',
)


@dataclass(frozen=True)
class MaskOptions:
    """How masks are made.

    Attributes:
        window (tuple[float]): HU from and to that GrabCut sees of images without ``windows``;
            others are seen in the first of theirs.
        from_box (bool): Whether annotations without RECIST get the axes of the ellipse in the box.
        box_padding (float): See :func:`recist_from_box`.
        margin (int, optional): See :func:`recist_mask`.
        iterations (int): See :func:`recist_mask`.
    """

    window: tuple = SOFT_TISSUE
    from_box: bool = False
    box_padding: float = BOX_PADDING
    margin: Optional[int] = 20
    iterations: int = 5

    def fingerprint(self, annotations):
        """Digest of the options and the annotation file's bytes."""
        return sha256(json.dumps(asdict(self)).encode() + annotations).hexdigest()


class MaskRun:
    """Makes the masks of a COCO dictionary's annotations.

    Args:
        coco (dict): ``images`` and ``annotations`` with ``recist``.
        images (str | Path): The folder that ``file_name`` is relative to.
        options (MaskOptions): How masks are made.
        strict (bool): Whether the first lesion that gets no mask is an error.

    Attributes:
        masks (dict[int, dict]): ``segmentation`` (RLE) and ``mask_source`` by the annotation's
            place in the file.
        problems (list[tuple[str, str]]): Kind and message for each lesion that got none.
    """

    def __init__(self, coco, images, options, strict=False):
        self.annotations = coco['annotations']
        self.images = {image['id']: image for image in coco['images']}
        self.root = images
        self.options = options
        self.strict = strict
        self.masks = {}
        self.problems = []

    def run(self, workers=1, partial_file=None):
        """Fill ``masks`` and ``problems``, the same whatever ``workers`` is.

        Args:
            workers (int): Processes.
            partial_file (PartialFile, optional): Where finished masks are found and added.

        Raises:
            UserError: If a file name leads outside the folder, a worker dies, or with ``strict`` a
                lesion gets no mask.
        """
        if partial_file is not None:
            self.masks.update(partial_file.finished)
        jobs = self.jobs()
        todo = sum(len(lesions) for _, lesions in jobs)
        done = len(self.masks)
        progress = tqdm(total=done + todo, initial=done, desc='masks', unit='lesion')
        pool = parallel_map(workers, _single_thread, chunksize=4, resumable=True)
        with progress, pool as run_all:
            for masks, problems in run_all(partial(_segment, options=self.options), jobs):
                if partial_file is not None:
                    partial_file.add(masks)
                self.masks.update(masks)
                for kind, message in problems:
                    self._problem(kind, message)
                progress.update(len(masks) + len(problems))

    def counts(self):
        """Masks by their source and lesions without one by the reason, as a Counter."""
        sources = Counter(mask['mask_source'] for mask in self.masks.values())
        return sources + Counter(kind for kind, _ in self.problems)

    def jobs(self):
        """List what is to do: (path, image) and its lesions (index, recist, bbox), in order."""
        jobs = {}
        for index, annotation in enumerate(self.annotations):
            if index in self.masks:
                continue
            x, y, w, h = annotation['bbox']
            box = [x, y, x + w, y + h]
            recist = annotation.get('recist')
            if not recist and not self.options.from_box:
                name = f'annotation {annotation.get("id", index)}'
                self._problem(NO_RECIST, f'{name} has no "recist"')
                continue
            recist = recist or recist_from_box(box, self.options.box_padding).tolist()
            lesion = (index, recist, box)
            jobs.setdefault(annotation['image_id'], []).append(lesion)
        images = self.images
        return [
            ((path_under(self.root, images[key]['file_name']), images[key]), lesions)
            for key, lesions in jobs.items()
        ]

    def _problem(self, kind, message):
        if self.strict:
            raise UserError(f'{message}. Without --strict such lesions get no mask')
        self.problems.append((kind, message))


class PartialFile:
    """The lesions that are done, a JSON line each, appended as they come.

    Args:
        path (str | Path): The file. It is made, or taken up if it is of the same run; a last line
            that was torn by a kill is cut off.
        fingerprint (str): What the file belongs to.

    Attributes:
        finished (dict[int, dict]): What an earlier run has left.

    Raises:
        UserError: If the file belongs to other annotations or options, or cannot be written.
    """

    def __init__(self, path, fingerprint):
        self.path = Path(path)
        self.fingerprint = fingerprint
        self.finished = {}
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

    def add(self, masks):
        """Append finished masks by their index, safe from a kill of this process."""
        records = [{'annotation': index, **mask} for index, mask in masks.items()]
        if records and self._file.tell() == 0:
            records.insert(0, {'fingerprint': self.fingerprint})
        with writing(self.path):
            for record in records:
                self._file.write(json.dumps(record).encode() + b'\n')
            self._file.flush()

    def close(self):
        """Close the file, and delete it if nothing is in it."""
        with writing(self.path):
            empty = self._file.tell() == 0
            self._file.close()
            if empty:
                self.path.unlink()

    def remove(self):
        """Delete the closed file, once the result is written."""
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


def first_window(image, default):
    """The first of a COCO image's windows, [[low, high], ...] or one [low, high], HU."""
    windows = np.reshape(image.get('windows') or [default], (-1, 2))
    return tuple(windows[0].tolist())


def _segment(job, options):
    """Masks by annotation index and problems of an image's lesions."""
    (path, image), lesions = job
    try:
        hu = read_hu(path)
        _check_size(path, hu, image)
    except FileNotFoundError:
        return {}, [(NO_IMAGE, f'there is no image {path}')] * len(lesions)
    except UserError as error:
        return {}, [(BAD_IMAGE, str(error))] * len(lesions)
    window = first_window(image, options.window)
    masks, problems = {}, []
    for index, recist, box in lesions:
        try:
            found = recist_mask(hu, recist, box, window, options.margin, options.iterations)
        except ValueError as error:
            problems.append((BAD_RECIST, f'a lesion of {image["file_name"]}: {error}'))
            continue
        masks[index] = {'segmentation': encode_mask(found.mask), 'mask_source': found.source}
    return masks, problems


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
    """The JSON lines up to the first that is torn, and their size in bytes."""
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
