"""Measure time and memory of tools on inputs of the largest sizes.

    python tools/benchmarks/load.py --only froc converter --scale 0.2 --beside ../another-tree

Every tool runs in a process of its own, whose wall and processor time and peak memory (resident
set) are taken. --beside runs the tools of another tree on the same inputs too, in turns.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from harness.benchmark import BenchmarkParser, format_table
from tqdm import tqdm

from mmlesion.io.deeplesion import DL_INFO_HEADER
from mmlesion.io.json_files import read_json, write_json
from mmlesion.utils import UserError, cli

TREE = Path(__file__).parents[2]
CONFIG = TREE / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
RULES = 'benchmarks/load.py'
BLOCK = 20_000  # records that are written at a time


def write_froc(folder, generator, args):
    """COCO results: boxes of 20 px, a third of them at the one lesion of each image."""
    images = [{'id': i, 'file_name': f'{i:06d}_01_01/001.png'} for i in range(args.images)]
    corners = generator.uniform(20, 480, (args.images, 2)).round(1)
    lesions = [
        {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [*corner, 20.0, 20.0]}
        for i, corner in enumerate(corners.tolist())
    ]
    categories = [{'id': 1, 'name': 'lesion'}]
    truth = {'images': images, 'annotations': lesions, 'categories': categories}
    write_json(truth, folder / 'truth.json')
    # by hand and in blocks: five million records do not fit into memory as objects
    with open(folder / 'results.json', 'w', encoding='utf-8') as file:
        file.write('[')
        for start in tqdm(range(0, args.detections, BLOCK), 'detections', leave=False):
            count = min(BLOCK, args.detections - start)
            image = generator.integers(args.images, size=count)
            near = generator.random((count, 1)) < 1 / 3
            # near its image's lesion by some px, or anywhere
            low = np.where(near, corners[image] + generator.normal(0, 4, (count, 2)), 0)
            low = np.where(near, low, generator.uniform(0, 490, (count, 2)))
            rows = zip(image.tolist(), low.tolist(), generator.beta(1, 4, count).tolist())
            lines = [
                f'{{"image_id": {i}, "bbox": [{x:.4f}, {y:.4f}, 20.0, 20.0], '
                f'"score": {score:.6f}, "category_id": 1}}'
                for i, (x, y), score in rows
            ]
            file.write((', ' if start else '') + ', '.join(lines))
        file.write(']')
    files = ['--gt', folder / 'truth.json', '--pred', folder / 'results.json']
    return ['analysis_tools/eval_froc.py', 'deeplesion', *files]


def write_table(folder, generator, args):
    """DL_info.csv of ten rows to a key slice, which are empty files."""
    names, rows_per_image = [], 10
    images = max(1, args.rows // rows_per_image)
    for number in tqdm(range(images), 'key slices', leave=False):
        patient = number // 10 + 1
        # ten key slices of a patient
        names.append((patient, number % 10 + 1))
        series = folder / 'images' / f'{patient:06d}_01_01'
        series.mkdir(parents=True, exist_ok=True)
        (series / f'{names[-1][1]:03d}.png').touch()
    with open(folder / 'DL_info.csv', 'w', encoding='utf-8') as file:
        file.write(','.join(DL_INFO_HEADER) + '\n')
        for number in tqdm(range(args.rows), 'rows', leave=False):
            # rows of a key slice are far apart: a converter cannot rely on neighbors
            file.write(_table_row(*names[number % images], *generator.uniform(50, 400, 2)))
    files = [folder / 'DL_info.csv', '--images', folder / 'images']
    return ['dataset_converters/deeplesion.py', *files]


def _table_row(patient, key, x, y):
    ends = [x, y, x + 20, y + 20, x + 15, y + 5, x + 5, y + 15]
    cells = {
        'File_name': f'{patient:06d}_01_01_{key:03d}.png',
        'Patient_index': patient,
        'Study_index': 1,
        'Series_ID': 1,
        'Key_slice_index': key,
        'Measurement_coordinates': ', '.join(f'{value:.3f}' for value in ends),
        'Bounding_boxes': f'{x - 5:.3f}, {y - 5:.3f}, {x + 25:.3f}, {y + 25:.3f}',
        'Lesion_diameters_Pixel_': '28.284, 14.142',
        'Normalized_lesion_location': '0.34, 0.46, 0.64',
        'Coarse_lesion_type': patient % 8 + 1,
        'Possibly_noisy': 0,
        'Slice_range': '1, 60',
        'Spacing_mm_px_': '0.742, 0.742, 5',
        'Image_size': '512, 512',
        'DICOM_windows': '-175,275',
        'Patient_gender': 'F',
        'Patient_age': 62,
        'Train_Val_Test': patient % 3 + 1,
    }
    quoted = (f'"{value}"' if ',' in str(value) else str(value) for value in cells.values())
    return ','.join(quoted) + '\n'


def write_proposals(folder, generator, args):
    """Stored proposals of volumes of 100 slices: five boxes a slice, tracks among them."""
    from mmlesion.mining import VolumeStore

    store = VolumeStore(folder / 'store', 'load')
    images, annotations = [], []
    for number in tqdm(range(args.volumes), 'volumes', leave=False):
        name = f'{number + 1:06d}_01_01'
        start = generator.uniform(20, 400, (5, 2))
        # each of five lesions drifts by a px a slice
        # (slices, lesions, 2) px x, y
        low = start + np.arange(100)[:, None, None] * 0.5
        boxes = np.concatenate([low, low + 30], axis=2).reshape(-1, 4)
        count = len(boxes)
        arrays = {
            'pooled_boxes': boxes.astype(np.float32),
            'pooled_scores': generator.random(count).astype(np.float32),
            # slice by slice, as the boxes are after reshaping
            'pooled_slices': np.repeat(np.arange(1, 101), 5),
        }
        store.save(name, arrays)
        image = {'id': number + 1, 'file_name': f'{name}/050.png', 'patient_id': number + 1}
        images.append({**image, 'width': 512, 'height': 512, 'slice_index': 50})
        corner = low[49, 0].tolist()
        annotations.append(
            {'id': number + 1, 'image_id': number + 1, 'category_id': 1, 'bbox': [*corner, 30, 30]}
        )
    categories = [{'id': 1, 'name': 'lesion'}]
    coco = {'images': images, 'annotations': annotations, 'categories': categories}
    write_json(coco, folder / 'train.json')
    return [RULES, '--rules', folder]


def mine(folder, out):
    """Apply the rule of propagation to stored proposals, as mine_annotations.py does at its end."""
    from mmlesion.mining import AnnotationMiner, VolumeStore
    from mmlesion.structures import SliceSeries

    coco = read_json(folder / 'train.json')
    volumes = []
    for image, annotation in zip(coco['images'], coco['annotations']):
        name = image['file_name'].split('/')[0]
        numbers = np.arange(1, 101)
        files = [f'{name}/{number:03d}.png' for number in numbers]
        volume = SliceSeries(name, numbers, files)
        # the middle slice is the annotated one
        volume.images[50] = image
        volume.annotations.append(annotation)
        volumes.append(volume)
    miner = AnnotationMiner(coco, VolumeStore.open(folder / 'store'), ['propagation'])
    miner.run(volumes)
    write_json(coco, out / 'mined.json')


def write_volume(folder, generator, args):
    """Write a CT volume of noise, and random weights of a small detector."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    import mmlesion  # noqa: F401 (registers mmlesion's components)
    from mmlesion.utils.configs import load_config

    init_default_scope('mmdet')
    model = MODELS.build(load_config(str(CONFIG)).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'weights.pth')
    voxels = generator.integers(-1000, 400, (args.slices, 512, 512), dtype=np.int16)
    volume = sitk.GetImageFromArray(voxels)
    volume.SetSpacing((0.7, 0.7, 1.0))
    sitk.WriteImage(volume, str(folder / 'volume.mha'))
    files = [folder / 'volume.mha', CONFIG, folder / 'weights.pth']
    return ['infer.py', *files, '--no-overlay', '--device', 'cpu']


LOADS = {
    'froc': write_froc,
    'converter': write_table,
    'mining': write_proposals,
    'infer': write_volume,
}
SIZES = {'detections': 5_000_000, 'images': 100_000, 'rows': 1_000_000}
SIZES = {**SIZES, 'volumes': 2_000, 'slices': 1_500}


def run_tool(tree, command, folder):
    """Run a tool of a tree; return wall and processor s and peak MiB."""
    out = folder / 'out'
    tool, *arguments = map(str, command)
    # another tree may not have this file
    script = __file__ if tool == RULES else str(tree / 'tools' / tool)
    line = [sys.executable, script, *arguments, '--out', str(out)]
    # the tree's own package, whatever is installed
    environment = {'OMP_NUM_THREADS': '1', **os.environ, 'PYTHONPATH': str(tree)}
    begun = time.perf_counter()
    with open(folder / 'log', 'wb') as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, env=environment)
    # in place of Popen.wait(), which tells neither processor time nor memory
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        # the end of the log has the message
        text = (folder / 'log').read_text(encoding='utf-8', errors='replace')
        raise UserError(f'{tool} of {tree} fails: {text[-500:]}')
    return {
        'wall_s': wall,
        'cpu_s': usage.ru_utime + usage.ru_stime,
        'peak_mib': usage.ru_maxrss / 1024,  # KiB on Linux
    }


def measure_load(name, args, trees):
    """Write the input of a load, and run each tree's tool on it."""
    rows = []
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        folder = Path(folder)
        command = LOADS[name](folder, np.random.default_rng(args.seed), args)
        size = sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 2**20
        for tree in trees:
            figures = run_tool(tree, command, folder)
            rows.append({'load': name, 'tree': tree.name, 'input_mib': size, **figures})
    return rows


def measure(args: argparse.Namespace) -> dict:
    """Measure the loads that are asked for."""
    if args.scale <= 0:
        raise UserError('--scale must be positive')
    for name, size in SIZES.items():
        given = getattr(args, name)
        setattr(args, name, max(1, round(size * args.scale)) if given is None else given)
    trees = [TREE] if args.beside is None else [Path(args.beside).resolve(), TREE]
    rows = []
    for name in args.only:
        rows += measure_load(name, args, trees)
    return {'sizes': {name: getattr(args, name) for name in SIZES}, 'runs': rows}


COLUMNS = {
    'load': lambda row: row['load'],
    'tree': lambda row: row['tree'],
    'input MiB': lambda row: f'{row["input_mib"]:.0f}',
    'wall s': lambda row: f'{row["wall_s"]:.1f}',
    'processor s': lambda row: f'{row["cpu_s"]:.1f}',
    'peak MiB': lambda row: f'{row["peak_mib"]:.0f}',
}


def show(figures: dict) -> str:
    """Return the sizes and a table."""
    sizes = ', '.join(f'{size:,} {name}' for name, size in figures['sizes'].items())
    return f'{sizes}\n{format_table(figures["runs"], COLUMNS)}'


@cli
def main():
    parser = BenchmarkParser(__doc__, 'the inputs')
    parser.add_argument('--rules', metavar='FOLDER', help=argparse.SUPPRESS)
    parser.add_argument('--only', nargs='+', choices=LOADS, default=list(LOADS), help='loads (all)')
    parser.add_argument('--scale', type=float, default=1, help='factor on the sizes (default 1)')
    for name, size in SIZES.items():
        parser.add_argument(f'--{name}', type=int, help=f'default {size}')
    parser.add_argument('--beside', metavar='TREE', help='another working tree to run as well')
    parser.add_argument('--work-dir', help="folder for the inputs (default: the system's)")
    args = parser.parse_args()
    if args.rules:
        mine(Path(args.rules), Path(args.out))
    else:
        parser.run(measure, show)


if __name__ == '__main__':
    main()
