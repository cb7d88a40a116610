"""What converters share: resuming, what is skipped, splitting by patients, and COCO's ids."""

import json
from dataclasses import asdict

import numpy as np

from mmlesion.io.atomic import atomic_write
from mmlesion.io.mhd import image_files
from mmlesion.utils import UserError


def convert_once(record, sources, options, convert, is_whole=None):
    """Convert a volume, or take what an earlier run has made of the same files and options.

    Args:
        record (Path): JSON file that says so; it is written when ``convert`` is through.
        sources (Sequence[Path]): The volume's files; of an MHD file the one with its voxels counts
            too.
        options (SliceOptions): How it is converted, a dataclass.
        convert (Callable): Takes nothing, writes slices or a volume and returns their description.
        is_whole (Callable, optional): Takes such a description and says whether what it describes
            is still there. Defaults to None, it is.

    Returns:
        list[dict] | dict: What ``convert`` returned.
    """
    files = [file for source in sources for file in image_files(source)]
    states = {'/'.join(path.parts[-2:]): path.stat() for path in files}
    made_of = {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}
    made_of['options'] = asdict(options)
    if record.exists():
        done = json.loads(record.read_text(encoding='utf-8'))
        if done['made_of'] == made_of and (is_whole is None or is_whole(done['images'])):
            return done['images']
    images = convert()
    with atomic_write(record) as path:
        text = json.dumps({'made_of': made_of, 'images': images})
        path.write_text(text, encoding='utf-8')
    return images


def add_skip_options(parser, unit):
    """Add the options about what cannot be converted to an ``ArgumentParser``.

    Args:
        parser (ArgumentParser): It gets ``--strict`` and ``--allow-skipped``.
        unit (str): What the converter calls what it converts, such as 'case'.
    """
    parser.add_argument(
        '--strict', action='store_true', help=f'stop at the first {unit} that cannot be used'
    )
    parser.add_argument(
        '--allow-skipped',
        type=int,
        default=0,
        metavar='N',
        help=f'exit with status 0 if at most N {unit}s cannot be used (0)',
    )


def check_skipped(skipped, total, allowed, unit, named):
    """End a converter with an error that has skipped more than was allowed.

    Args:
        skipped (int): How many could not be used.
        total (int): Of how many.
        allowed (int): The option ``--allow-skipped``.
        unit (str): As in :func:`add_skip_options`.
        named (str | Path): Where they are named.

    Raises:
        UserError: If so. What could be converted has been written by then.
    """
    if skipped > allowed:
        raise UserError(
            f'{skipped} of {total} {unit}s were skipped, and the rest is converted: see {named}, '
            f'mend them and run the same command again, or give --allow-skipped {skipped}'
        )


def as_coco(images, categories, info):
    """Make a COCO dictionary of described slices; ids count from 1 in their order.

    Args:
        images (Iterable[dict]): Images of the schema without ``id``, each with its ``annotations``
            without ``id`` and ``image_id``.
        categories (Sequence[str]): Their names, by id from 1.
        info (dict): COCO's ``info``.

    Returns:
        dict: COCO's.
    """
    coco = {'info': info, 'images': [], 'annotations': []}
    coco['categories'] = [{'id': i, 'name': name} for i, name in enumerate(categories, start=1)]
    for image_id, image in enumerate(images, start=1):
        described = dict(image)
        annotations = described.pop('annotations')
        coco['images'].append({'id': image_id, **described})
        for annotation in annotations:
            number = len(coco['annotations']) + 1
            ids = {'id': number, 'image_id': image_id}
            coco['annotations'].append({**ids, **annotation})
    return coco


def split_patients(patients, seed, val_share, test_share=0.2):
    """Split patients by chance: the test part does not depend on the validation part's size.

    Args:
        patients (Sequence): They are sorted first.
        seed (int): Of the chance.
        val_share (float): Of all patients, rounded up.
        test_share (float): Of all patients, rounded up.

    Returns:
        dict[str, list]: Of 'train', 'val' and 'test'.
    """
    patients = sorted(patients)
    order = np.random.default_rng(seed).permutation(len(patients))
    counts = np.ceil(np.multiply(len(patients), [test_share, val_share]).round(6)).astype(int)
    test, val, train = np.split(order, np.cumsum(counts))
    parts = {'train': train, 'val': val, 'test': test}
    return {name: [patients[i] for i in sorted(part)] for name, part in parts.items()}
