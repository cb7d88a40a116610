"""Files of ground truth, predictions and results.

Every reader checks what it reads and raises :class:`~mmlesion.utils.UserError` with the file, the
place in it and what to do.
"""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmlesion.io.atomic import atomic_write
from mmlesion.io.attributes import lesion_attributes
from mmlesion.io.bbox_3d import with_sphere
from mmlesion.io.json_files import read_json
from mmlesion.io.pickled_arrays import load_arrays
from mmlesion.structures import Detections, GroundTruth, Lesions, Predictions
from mmlesion.utils import UserError

MARK_COLUMNS = ('coordX', 'coordY', 'coordZ')
EXCLUDED_DIAMETER = 10.0
"""LUNA16's diameter in mm of a finding that has none."""


def coco_ground_truth(data, path):
    """Return the lesions of a COCO dictionary.

    Boxes become x, y, x + w, y + h. Annotations with ``iscrowd`` or ``ignore`` set are ignored
    findings; all others count, noisy ones too. The lesions' ``attributes`` are the fields of the
    annotations, and ``diameter``, the first of ``diameters_mm`` where annotations have them.

    Args:
        data (dict): The content of a COCO annotation file.
        path (str | Path): Its name, for error messages.

    Returns:
        GroundTruth: Items are image ids; labels are category ids.
    """
    if not isinstance(data, dict) or not all(
        isinstance(data.get(key), list) for key in ('images', 'annotations')
    ):
        raise UserError(f'{path} needs lists "images" and "annotations", as COCO files have them')
    annotations = data['annotations']
    items = _column(data['images'], 'id', f'{path}: image')
    if len(set(items)) < len(items):
        raise UserError(f'{path}: two images have the same id; give each its own')
    where = f'{path}: annotation'
    item, unknown = _items(_column(annotations, 'image_id', where), items, path)
    if unknown:
        raise UserError(f'{path}: annotations of images that are not listed: {some_names(unknown)}')
    boxes = _numbers(_column(annotations, 'bbox', where), 4, f'{where}, "bbox"')
    ignore = [bool(ann.get('iscrowd') or ann.get('ignore')) for ann in annotations]
    label = _numbers([ann.get('category_id', 1) for ann in annotations], None, where).astype(int)
    attributes = _coco_attributes(annotations, where)
    lesions = Lesions(item, _corners(boxes), np.array(ignore, dtype=bool), label, attributes)
    patients = [image.get('patient_id', image['id']) for image in data['images']]
    return GroundTruth(items, lesions, patients)


def _coco_attributes(annotations, where):
    attributes = lesion_attributes(annotations)
    if any('diameters_mm' in ann for ann in annotations):
        diameters = [ann.get('diameters_mm') or [np.nan, np.nan] for ann in annotations]
        diameters = _numbers(diameters, 2, f'{where}, "diameters_mm"', finite=False)
        attributes['diameter'] = diameters[:, 0]
    return attributes


def read_coco_results(path, items):
    """Read a COCO results file: a list of ``image_id, bbox, score``, as CocoMetric writes it.

    Args:
        path (str | Path): The file.
        items (list): Image ids of the ground truth.

    Returns:
        Predictions: Boxes x, y, x + w, y + h in px; labels are category ids, where there are any.
    """
    data = read_json(path)
    if not isinstance(data, list):
        raise UserError(f'{path} must be a list of results, each with image_id, bbox and score')
    where = f'{path}: result'
    boxes = _corners(_numbers(_column(data, 'bbox', where), 4, f'{where}, "bbox"'))
    scores = _numbers(_column(data, 'score', where), None, f'{where}, "score"')
    item, unknown = _items(_column(data, 'image_id', where), items, path)
    return _predictions(item, boxes, scores, unknown)


def read_lens_ground_truth(path, split=None):
    """Read the manual annotation of DeepLesion's sub-volumes, JSON or pickle.

    Args:
        path (str | Path): ``{sub-volume: [[x1, y1, z1, x2, y2, z2], ...]}`` or such a dictionary
            for each split. In place of a box may stand a dictionary with the box as ``box`` and
            further fields.
        split (str, optional): Which split to take; needed if the file has several.

    Returns:
        GroundTruth: Items are sub-volumes; inclusive boxes in px and slices.
    """
    data = load_arrays(path) if Path(path).suffix in ('.pkl', '.pickle') else read_json(path)
    boxes_of = _pick_split(data, split, path)
    items = list(boxes_of)
    lesions = _sub_volume_lesions(boxes_of, path)
    return GroundTruth(items, lesions, _sub_volume_patients(items))


def _sub_volume_lesions(data, path):
    """The lesions of sub-volumes: boxes, or dictionaries with ``box`` and further fields."""
    annotations = {name: _as_annotations(rows) for name, rows in _box_lists(data, path).items()}
    boxes = {
        name: _column(rows, 'box', f'{path}: {name}, box') for name, rows in annotations.items()
    }
    index = {name: number for number, name in enumerate(data)}
    item, boxes = _boxes_by_item(boxes, index, 6, path)
    annotations = [annotation for rows in annotations.values() for annotation in rows]
    ignore = np.array([bool(annotation.get('ignore')) for annotation in annotations], dtype=bool)
    return Lesions(item, boxes, ignore, attributes=lesion_attributes(annotations))


def _as_annotations(entries):
    return [entry if isinstance(entry, dict) else {'box': entry} for entry in entries]


def _sub_volume_patients(items):
    """DeepLesion's patients: sub-volumes are named patient_study_series_first-last."""
    return [str(name).split('_')[0] for name in items]


def sub_volume_ground_truth(data, path):
    """Lesions of a COCO dictionary of every slice of sub-volumes (docs/datasets.md).

    Args:
        data (dict): The content of the file: ``sub_volumes`` has the lesions of each, as the manual
            annotation has them, and ``sub_volume`` of an image says where it belongs.
        path (str | Path): Its name, for error messages.

    Returns:
        GroundTruth: Items are sub-volumes; inclusive boxes in px and slices; labels are the id of
        the first category.
    """
    if not isinstance(data['sub_volumes'], dict) or not data.get('categories'):
        raise UserError(f'{path} needs "sub_volumes" with boxes, and "categories": convert again')
    items = list(data['sub_volumes'])
    index = dict(zip(items, range(len(items))))
    names = _column(data.get('images', []), 'sub_volume', f'{path}: image')
    _column(data.get('images', []), 'slice_index', f'{path}: image')
    if unknown := [name for name in dict.fromkeys(names) if name not in index]:
        raise UserError(f'{path}: images of sub-volumes that are not listed: {some_names(unknown)}')
    lesions = _sub_volume_lesions(data['sub_volumes'], path)
    label = np.full(len(lesions.case), data['categories'][0]['id'])
    return GroundTruth(items, replace(lesions, label=label), _sub_volume_patients(items))


def _pick_split(data, split, path):
    if not isinstance(data, dict) or not data:
        raise UserError(f'{path} must be a dictionary of sub-volumes and their boxes')
    splits = [name for name, value in data.items() if isinstance(value, dict)]
    if not splits:
        if split is not None:
            raise UserError(f'{path} has no splits; leave --split away')
        return data
    if split is None and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        raise UserError(f'{path} has the splits {", ".join(map(str, splits))}: choose with --split')
    return data[split]


def read_lens_predictions(path, items):
    """Read ``{sub-volume: [[x1, y1, z1, x2, y2, z2, score], ...]}``.

    Args:
        path (str | Path): The JSON file.
        items (list): Sub-volumes of the ground truth.

    Returns:
        Predictions: Inclusive boxes in px and slices.
    """
    data = read_json(path)
    index = dict(zip(items, range(len(items))))
    item, rows = _boxes_by_item(data, index, 7, path)
    return _predictions(item, rows[:, :6], rows[:, 6], [name for name in data if name not in index])


def boxes_of_sub_volumes(data, width, path):
    """Boxes, with what else their rows have, as arrays.

    Args:
        data (dict): ``{sub-volume: [[x1, y1, z1, x2, y2, z2, ...], ...]}``.
        width (int): Numbers in a row.
        path (str | Path): Where they are from, for error messages.

    Returns:
        dict[str, ndarray]: (n, width) of each sub-volume.
    """
    return {
        name: _numbers(rows, width, f'{path}: {name}, box')
        for name, rows in _box_lists(data, path).items()
    }


def _box_lists(data, path):
    """The dictionary, checked to have a list of each sub-volume."""
    if not isinstance(data, dict):
        raise UserError(f'{path} must be a dictionary of sub-volumes and their boxes')
    for name, rows in data.items():
        if not isinstance(rows, (list, np.ndarray)):
            raise UserError(f'{path}: {name} must have a list of boxes, not {rows!r:.80}')
    return data


def _boxes_by_item(data, index, width, path):
    """(n,) item, -1 if not in ``index``, and (n, width) rows of all sub-volumes."""
    boxes = boxes_of_sub_volumes(data, width, path)
    numbers = [index.get(name, -1) for name in boxes]
    item = np.repeat(np.array(numbers, dtype=int), [len(rows) for rows in boxes.values()])
    return item, np.concatenate([np.empty((0, width)), *boxes.values()])


def read_luna16_ground_truth(annotations, excluded, series):
    """Read LUNA16's three lists.

    Args:
        annotations (str | Path): ``annotations.csv``, the nodules to find.
        excluded (str | Path): ``annotations_excluded.csv``, findings that are ignored.
        series (str | Path): ``seriesuids.csv``, the scans; findings in others are left out.

    Returns:
        GroundTruth: Items are series; x, y, z and diameter in mm, 10 mm where it is negative.
    """
    items = [row[0] for row in _rows(series) if row[0] != 'seriesuid']
    if len(set(items)) < len(items):
        raise UserError(f'{series}: a series is listed twice; name each once')
    parts = []
    for path, ignore in ((annotations, False), (excluded, True)):
        names, rows = _series_table(path, (*MARK_COLUMNS, 'diameter_mm'))
        item, _ = _items(names, items, path)
        parts.append((item[item >= 0], rows[item >= 0], np.full((item >= 0).sum(), ignore)))
    item, spheres, ignore = (np.concatenate(column) for column in zip(*parts))
    attributes = {'diameter': np.where(spheres[:, 3] < 0, np.nan, spheres[:, 3])}
    spheres[:, 3] = np.where(spheres[:, 3] < 0, EXCLUDED_DIAMETER, spheres[:, 3])
    lesions = Lesions(item, spheres, ignore, attributes=attributes)
    return GroundTruth(items, lesions, items)


def read_luna16_predictions(path, items):
    """Read a LUNA16 submission: ``seriesuid, coordX, coordY, coordZ, probability``.

    Args:
        path (str | Path): The CSV file.
        items (list): Series of the ground truth.

    Returns:
        Predictions: Marks at x, y, z in mm.
    """
    names, rows = _series_table(path, (*MARK_COLUMNS, 'probability'))
    item, unknown = _items(names, items, path)
    return _predictions(item, rows[:, :3], rows[:, 3], unknown)


def write_luna16_predictions(path, items, detections):
    """Write a LUNA16 submission, in full precision.

    Args:
        path (str | Path): The CSV file.
        items (list[str]): Series.
        detections (Detections): x, y, z in mm first; ``case`` points into ``items``.

    Raises:
        OSError: If it cannot be written.
    """
    rows = zip(detections.case, detections.geometry[:, :3].tolist(), detections.score.tolist())
    with atomic_write(path) as temporary, open(temporary, 'w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(('seriesuid', *MARK_COLUMNS, 'probability'))
        writer.writerows((items[item], *point, score) for item, point, score in rows)


def volume_ground_truth(data, path, fold=None):
    """Lesions of an annotation file of volumes (docs/datasets.md).

    Annotations with ``ignore`` set, such as LUNA16's excluded findings, are ignored. The
    lesions' ``attributes`` are the fields of the annotations, and ``diameter`` in mm.

    Args:
        data (dict): The content of the file.
        path (str | Path): Its name, for error messages.
        fold (int | Sequence[int], optional): Only the volumes of this fold, or of these. Defaults
            to None, all.

    Returns:
        GroundTruth: Items are ``series_uid``; x, y, z and diameter in mm; labels are category ids.
    """
    if not isinstance(data.get('annotations'), list):
        raise UserError(f'{path} needs a list "annotations": convert the data set again')
    where = f'{path}: volume'
    names = dict(zip(_column(data['volumes'], 'id', where), _uids(data['volumes'], where)))
    chosen = [v for v in data['volumes'] if fold is None or np.isin(v.get('fold'), fold)]
    if not chosen:
        raise UserError(f'{path} has no volume of fold {fold}: choose another or convert all')
    items = [volume['series_uid'] for volume in chosen]
    annotations, where = data['annotations'], f'{path}: annotation'
    volume_ids = _column(annotations, 'volume_id', where)
    if unknown := [i for i in dict.fromkeys(volume_ids) if i not in names]:
        raise UserError(
            f'{path}: annotations of volumes that are not listed: {some_names(unknown)}'
        )
    item, _ = _items([names[i] for i in volume_ids], items, path)
    annotations = [with_sphere(annotation) for annotation in annotations]
    centres = _numbers(_column(annotations, 'center_mm', where), 3, f'{where}, "center_mm"')
    diameter = _column(annotations, 'diameter_mm', where)
    diameter = _numbers(diameter, None, f'{where}, "diameter_mm"')
    label = _numbers([ann.get('category_id', 1) for ann in annotations], None, where).astype(int)
    ignore = np.array([bool(ann.get('ignore')) for ann in annotations], dtype=bool)
    attributes = {**lesion_attributes(annotations), 'diameter': diameter}
    lesions = Lesions(item, np.column_stack([centres, diameter]), ignore, label, attributes)
    patients = [volume.get('patient_id', volume['series_uid']) for volume in chosen]
    return GroundTruth(items, lesions.take(item >= 0), patients)


def _uids(volumes, where):
    uids = _column(volumes, 'series_uid', where)
    if len(set(uids)) < len(uids):
        raise UserError(f'{where}: two have the same series_uid; convert the data set again')
    return uids


def _series_table(path, columns):
    """Series of each row of a CSV file, and (n, k) its named columns."""
    header, *rows = _rows(path) or [[]]
    header = [name.strip() for name in header]
    if missing := [name for name in ('seriesuid', *columns) if name not in header]:
        raise UserError(f'{path} has no column {", ".join(missing)}; its first line must name them')
    width = len(header)
    for number, row in enumerate(rows, 2):
        if len(row) != width:
            raise UserError(f'{path}: row {number} has {len(row)} columns, its header {width}')
    picked = list(zip(*rows)) or [()] * width
    values = zip(*(picked[header.index(name)] for name in columns))
    names = picked[header.index('seriesuid')]
    return names, _numbers(list(values), len(columns), f'{path}: row', first=2)


def _rows(path):
    """The lines of a CSV file that are not blank."""
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            return [row for row in csv.reader(file) if row]
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f'{path} is not a readable CSV file: {error}') from None


def _column(entries, key, where):
    try:
        return [entry[key] for entry in entries]
    except (KeyError, TypeError):
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or key not in entry:
                raise UserError(f'{where} {number} (the first is 0) has no "{key}"') from None
        raise


def _numbers(rows, width, where, finite=True, first=0):
    """(n, width) or, without width, (n,) array of numbers; an error names the first bad row."""
    row_shape = () if width is None else (width,)
    if not len(rows):
        return np.empty((0, *row_shape))
    try:
        values = np.asarray(rows, dtype=float)
        good = values.shape[1:] == row_shape and (not finite or np.isfinite(values).all())
    except (TypeError, ValueError):
        good = False
    if good:
        return values
    wanted = f'{width} finite numbers' if width else 'a finite number'
    number = next(n for n, row in enumerate(rows) if not _is_good(row, row_shape, finite))
    raise UserError(
        f'{where} {number + first} (the first is {first}) is {rows[number]!r:.80}, not {wanted}: '
        'mend or drop it'
    )


def _is_good(row, shape, finite):
    try:
        value = np.asarray(row, dtype=float)
    except (TypeError, ValueError):
        return False
    return value.shape == shape and (not finite or np.isfinite(value).all())


def _items(names, items, path):
    """(n,) index of each name in ``items``, -1 if it is not there, and the names that are not."""
    index = dict(zip(items, range(len(items))))
    try:
        item = np.fromiter((index.get(name, -1) for name in names), dtype=int, count=len(names))
    except TypeError:
        raise UserError(f'{path}: an image_id is neither a number nor a name; mend it') from None
    missing = dict.fromkeys(names[number] for number in np.flatnonzero(item < 0))
    return item, list(missing)


def _predictions(item, geometry, scores, unknown):
    known = item >= 0
    detections = Detections(item, geometry, scores)
    return Predictions(detections.take(known), unknown, int((~known).sum()))


def _corners(boxes):
    """x, y, w, h to x, y, x + w, y + h."""
    return np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def some_names(names):
    """The first three names, and how many more there are, for a message."""
    shown = ', '.join(map(str, names[:3]))
    return shown if len(names) <= 3 else f'{shown} and {len(names) - 3} more'
