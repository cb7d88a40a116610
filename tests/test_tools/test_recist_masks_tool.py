import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from phantom import PatientOptions, make_deeplesion_phantom
from pycocotools import mask as mask_utils

from mmlesion.converters import recist_masks
from mmlesion.converters.mask_run import MaskOptions, MaskRun
from mmlesion.io.slices import read_hu
from mmlesion.utils import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'dataset_converters' / 'recist_masks.py'
KEY_SLICES = ROOT.parent / 'shared' / 'data' / 'deeplesion'
SIZE = 96


@pytest.fixture
def dataset(tmp_path):
    """Four 16-bit slices of two discs each, and the COCO file's content."""
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'lesion'}]}
    y, x = np.indices((SIZE, SIZE))
    for number in range(1, 5):
        hu = np.random.default_rng(number).normal(-60, 15, (SIZE, SIZE))
        for center, radius in (((25, 30), 8 + number), ((65, 60), 14)):
            hu[np.hypot(x - center[0], y - center[1]) <= radius] += 140
            coco['annotations'].append(annotation(coco, number, center, radius))
        name = f'series/{number:03d}.png'
        size = {'height': SIZE, 'width': SIZE}
        coco['images'].append(dict(id=number, file_name=name, windows=[[-175, 275]], **size))
        path = tmp_path / 'Images_png' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.rint(hu + 32768).astype(np.uint16))
    return coco


def annotation(coco, image_id, center, radius):
    (x, y), r = center, radius
    return {
        'id': 10 * len(coco['annotations']) + 7,
        'image_id': image_id,
        'bbox': [x - r - 5, y - r - 5, 2 * r + 10, 2 * r + 10],
        'area': (2 * r + 10) ** 2,
        'iscrowd': 0,
        'category_id': 1,
        'recist': [x - r, y, x + r, y, x, y - r, x, y + r],
    }


@pytest.fixture
def run(run_tool, tmp_path):
    """Run the tool on a COCO dictionary; return the bytes that it writes."""

    def run(coco, *flags, out='out/masks.json'):
        ann = tmp_path / 'ann.json'
        ann.write_text(json.dumps(coco))
        arguments = [ann, '--images', tmp_path / 'Images_png', '--out', tmp_path / out, *flags]
        run_tool(TOOL, *arguments)
        return (tmp_path / out).read_bytes()

    return run


def failure(run, *args, **kwargs):
    with pytest.raises(SystemExit) as error:
        run(*args, **kwargs)
    return str(error.value)


def test_masks_are_rle_of_the_discs_and_all_else_is_kept(run, dataset, tmp_path):
    result = json.loads(run(dataset))
    y, x = np.indices((SIZE, SIZE))
    for before, after in zip(dataset['annotations'], result['annotations']):
        assert isinstance(after['segmentation']['counts'], str)
        mask = mask_utils.decode(after['segmentation']).astype(bool)
        x1, y1, x2, y2 = before['recist'][0], before['recist'][5], *before['recist'][2:8:5]
        center, radius = ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1) / 2
        truth = np.hypot(x - center[0], y - center[1]) <= radius
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9
        assert after.pop('mask_source') == 'grabcut'
        del after['segmentation']
        assert after == before
    assert result['images'] == dataset['images']
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['masks.json']


def test_what_outlines_nothing_is_dropped_where_no_mask_was_made(run, dataset):
    outline = [[0, 0, 9, 0, 9, 9]]
    for lesion, segmentation in zip(dataset['annotations'], ([[]], [[]], [[]], outline)):
        lesion['segmentation'] = segmentation
    for index in (1, 2, 3):
        del dataset['annotations'][index]['recist']
    first, second, third, fourth = json.loads(run(dataset))['annotations'][:4]
    assert isinstance(first['segmentation']['counts'], str)
    assert 'segmentation' not in second and 'segmentation' not in third
    assert fourth['segmentation'] == outline


def test_any_number_of_workers_gives_the_same_file(run, dataset):
    assert run(dataset, out='one.json') == run(dataset, '--workers', 3, out='three.json')


@pytest.mark.parametrize(
    'torn', [b'', b'[{"annotation": 5, "segm', b'[{"annotation": 5}]', b'{}', b'[[5]]', b'\xff']
)
def test_a_killed_run_goes_on_to_the_same_file(
    run, run_tool, dataset, tmp_path, monkeypatch, capsys, torn
):
    whole = run(dataset, out='whole.json')

    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(recist_masks, 'report', die)
    with pytest.raises(SystemExit, match='130'):
        run(dataset)
    partial = tmp_path / 'out' / 'masks.json.partial'
    parts = sorted(path for path in partial.iterdir() if path.name != 'run.json')
    assert len(parts) == len(dataset['images'])
    # As if it had been killed when two images were written, and the next one's file is damaged.
    for path in parts[2:]:
        path.unlink()
    parts[2].write_bytes(torn)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    read = []
    monkeypatch.setattr('mmlesion.converters.mask_run.read_hu', lambda p: read.append(p) or hu(p))
    hu = read_hu
    run_tool(TOOL, 'ann.json', '--images', 'Images_png', '--out', 'out/masks.json')
    assert (tmp_path / 'out' / 'masks.json').read_bytes() == whole
    assert not partial.exists()
    assert 'going on after 4 lesions' in capsys.readouterr().out
    assert [Path(path).name for path in read] == ['003.png', '004.png']


def test_a_really_killed_process_goes_on(run, dataset, tmp_path):
    whole = run(dataset, out='whole.json')
    (tmp_path / 'ann.json').write_text(json.dumps(dataset))
    script = (
        'import os, sys, runpy\n'
        'import mmlesion.converters.mask_run as m\n'
        'add = m.MaskStore.add\n'
        'def add_and_die(self, masks):\n'
        '    add(self, masks)\n'
        '    os.kill(os.getpid(), 9)\n'
        'm.MaskStore.add = add_and_die\n'
        'sys.argv = sys.argv[1:]\n'
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    arguments = [TOOL, 'ann.json', '--images', 'Images_png', '--out', 'out/masks.json']
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    killed = subprocess.run(
        [sys.executable, '-c', script, *map(str, arguments)], cwd=tmp_path, env=environment
    )
    assert killed.returncode == -9
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['masks.json.partial']
    assert run(dataset) == whole


def test_a_partial_file_of_another_input_is_not_mixed_in(run, dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(recist_masks, 'report', lambda *args: sys.exit('stopped'))
    assert failure(run, dataset) == 'stopped'
    partial = tmp_path / 'out' / 'masks.json.partial'
    before = {path: path.read_bytes() for path in partial.iterdir()}
    assert 'other annotations or options' in failure(run, dataset, '--recist-from-box')
    dataset['annotations'][0]['recist'][0] += 1
    assert 'other annotations or options' in failure(run, dataset)
    assert {path: path.read_bytes() for path in partial.iterdir()} == before


def test_lesions_without_recist_are_counted_and_get_no_mask(run, dataset, capsys):
    del dataset['annotations'][0]['recist']
    dataset['annotations'][3]['recist'] = None
    result = json.loads(run(dataset))
    with_mask = ['segmentation' in ann for ann in result['annotations']]
    assert with_mask == [False, True, True, False, True, True, True, True]
    out, err = capsys.readouterr()
    assert '2 lesions have no "recist"' in err
    assert '| without RECIST | 2' in out and '| grabcut        | 6' in out


def test_recist_from_box_serves_only_lesions_without_recist(run, dataset):
    whole = json.loads(run(dataset, out='whole.json'))
    del dataset['annotations'][0]['recist']
    result = json.loads(run(dataset, '--recist-from-box'))
    for expected, found in zip(whole['annotations'], result['annotations']):
        assert found['segmentation'] == expected['segmentation']
    assert 'recist' not in result['annotations'][0]


def test_axes_of_a_box_without_padding(run, dataset, tmp_path):
    expected = [ann.pop('recist') for ann in dataset['annotations']]
    for ann in dataset['annotations']:
        x, y, w, h = ann['bbox']
        ann['bbox'] = [x + 5, y + 5, w - 10, h - 10]
    options = MaskOptions(from_box=True, box_padding=0)
    jobs = MaskRun(dataset, tmp_path / 'Images_png', options).jobs()
    assert [recist for _, lesions in jobs for _, recist, _ in lesions] == expected
    result = json.loads(run(dataset, '--recist-from-box', '--box-padding', '0'))
    assert all('segmentation' in ann for ann in result['annotations'])


def test_missing_truncated_and_wrong_slices_are_counted(run, dataset, tmp_path, capsys):
    folder = tmp_path / 'Images_png' / 'series'
    (folder / '001.png').unlink()
    data = (folder / '002.png').read_bytes()
    (folder / '002.png').write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(folder / '003.png'), np.zeros((8, 8), np.uint16))
    message = failure(run, dataset)
    assert '6 of 8 lesions were skipped' in message
    result = json.loads(run(dataset, '--allow-skipped', 6))
    assert sum('mask_source' in ann for ann in result['annotations']) == 2
    out, err = capsys.readouterr()
    assert '| missing image    | 2' in out and '| unreadable image | 4' in out
    assert f'there is no image {folder}/001.png' in err
    assert f'{folder}/002.png is truncated' in err
    assert '003.png is 8 x 8 px, but annotated as 96 x 96 px' in err
    # The lost slice is found again.
    message = failure(run, dataset, '--strict', out='strict.json')
    assert 'there is no image' in message and 'Without --strict' in message
    assert not (tmp_path / 'strict.json').exists()


def test_a_lesion_outside_its_image_is_counted(run, dataset, capsys):
    lesion = dataset['annotations'][0]
    lesion['recist'] = [value + 500 for value in lesion['recist']]
    lesion['bbox'][:2] = [value + 500 for value in lesion['bbox'][:2]]
    run(dataset, '--allow-skipped', 1)
    out, err = capsys.readouterr()
    assert '| unusable RECIST or box | 1' in out and 'lie outside' in err


def test_a_fallback_to_the_ellipse_is_counted(run, dataset, monkeypatch, capsys):
    grabcut, calls = cv2.grabCut, []

    def sometimes(*args):
        calls.append(args)
        if len(calls) == 2:
            raise cv2.error('grabCut')
        return grabcut(*args)

    monkeypatch.setattr(cv2, 'grabCut', sometimes)
    result = json.loads(run(dataset))
    sources = [ann['mask_source'] for ann in result['annotations']]
    assert sources == ['grabcut', 'ellipse'] + ['grabcut'] * 6
    assert '| ellipse   | 1' in capsys.readouterr().out


def test_eight_bit_pictures_are_hu_in_steps_of_16(tmp_path):
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cv2.imwrite(str(tmp_path / 'gray.png'), stored)
    cv2.imwrite(str(tmp_path / 'rgb.png'), np.dstack([stored] * 3))
    cv2.imwrite(str(tmp_path / 'deep.png'), stored.astype(np.uint16) * 256)
    expected = np.arange(256).reshape(16, 16) * 16 - 1024
    assert (read_hu(tmp_path / 'gray.png') == expected).all()
    assert (read_hu(tmp_path / 'rgb.png') == expected).all()
    assert (read_hu(tmp_path / 'deep.png') == stored.astype(int) * 256 - 32768).all()
    cv2.imwrite(str(tmp_path / 'color.png'), np.dstack([stored, stored, 255 - stored]))
    with pytest.raises(UserError, match='color picture'):
        read_hu(tmp_path / 'color.png')


def test_pictures_show_mask_quadrilateral_and_box(run, dataset, tmp_path):
    run(dataset, '--picture', tmp_path / 'pictures', '--num', 3)
    names = sorted(path.name for path in (tmp_path / 'pictures').iterdir())
    assert names == ['series_001_7.png', 'series_003_47.png', 'series_004_77.png']
    picture = cv2.imread(str(tmp_path / 'pictures' / names[0]))
    assert picture.shape[0] == 400 and picture.shape[1] % 2 == 0
    bare, drawn = np.split(picture.astype(int), 2, axis=1)
    assert (np.ptp(bare, axis=-1) == 0).all()
    for color in ((0, 220, 255), (0, 255, 0), (60, 60, 255)):
        assert (np.abs(drawn - color).max(axis=-1) < 40).sum() > 100


@pytest.mark.parametrize(
    'change, complaint',
    [
        (lambda coco: coco.pop('images'), 'needs lists "images"'),
        (lambda coco: coco['annotations'][0].pop('bbox'), 'bbox'),
        (lambda coco: coco['images'][0].update(file_name='../../x.png'), 'leads outside'),
        (lambda coco: coco['images'][0].pop('file_name'), 'has no "file_name"'),
        (lambda coco: coco['images'][0].update(windows=[[5, 5]]), 'give pairs of low and high HU'),
        (lambda coco: [ann.pop('recist') for ann in coco['annotations']], '--recist-from-box'),
        (lambda coco: coco['annotations'].clear(), 'has no annotations'),
        (lambda coco: [i.update(file_name='x.png') for i in coco['images']], 'check --images'),
    ],
)
def test_what_cannot_be_used_is_one_line_and_writes_nothing(
    run, dataset, tmp_path, change, complaint
):
    change(dataset)
    message = failure(run, dataset)
    assert message.startswith('error: ') and complaint in message and '\n' not in message
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())


def test_options_that_cannot_be_used(run, dataset):
    assert 'the annotation file itself' in failure(run, dataset, out='ann.json')
    assert 'at least 1' in failure(run, dataset, '--workers', 0)
    assert 'not low < high' in failure(run, dataset, '--window', 5, 5)
    assert 'is not a folder' in failure(run, dataset, '--images', '/nowhere')
    assert 'cannot be written' in failure(run, dataset, out='ann.json/masks.json')
    assert 'cannot be made' in failure(run, dataset, '--picture', TOOL)


def test_a_worker_that_dies_is_reported(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr('mmlesion.converters.mask_run.recist_mask', lambda *args: os._exit(9))
    with pytest.raises(UserError, match='a worker process was killed'):
        MaskRun(dataset, tmp_path / 'Images_png', MaskOptions()).run(workers=2)


def test_masks_of_the_phantom_are_near_the_true_ones(tmp_path, run_tool, run, capsys):
    options = PatientOptions(size=128, lesion_scale=0.8)
    root = tmp_path / 'phantom'
    make_deeplesion_phantom(root, (4, 1, 1), context_mm=0.0, noisy=0.0, options=options)
    arguments = [root / 'DL_info.csv', '--images', root / 'Images_png', '--out', root]
    run_tool('dataset_converters/deeplesion.py', *arguments)
    run(json.loads((root / 'train.json').read_text()), '--images', root / 'Images_png')
    arguments = [tmp_path / 'out/masks.json', '--truth', root / 'truth', '--out', root / 'iou.json']
    run_tool('analysis_tools/eval_recist_masks.py', *arguments)
    figures = json.loads((root / 'iou.json').read_text())
    assert figures['all masks']['lesions'] >= 10
    assert figures['all masks']['mean_iou'] > 0.85
    assert figures['quadrilateral alone']['mean_iou'] < 0.78
    assert 'mean IoU' in capsys.readouterr().out


def test_benchmark(dataset, tmp_path, monkeypatch, run_tool, capsys):
    (tmp_path / 'ann.json').write_text(json.dumps(dataset))
    monkeypatch.chdir(tmp_path)
    arguments = ['ann.json', '--images', 'Images_png', '--workers', '1', '2', '--out', 'b.json']
    run_tool('benchmarks/grabcut.py', *arguments)
    figures = json.loads((tmp_path / 'b.json').read_text())
    assert [row['workers'] for row in figures['throughput']] == [1, 2]
    assert figures['crop']['masks'] == 8 and figures['crop']['mean_iou'] > 0.97
    assert figures['throughput'][0]['deeplesion_hours'] == pytest.approx(
        32735 / figures['throughput'][0]['masks_per_second'] / 3600
    )
    assert '32,735 lesions take' in capsys.readouterr().out


@pytest.mark.skipif(not KEY_SLICES.is_dir(), reason='needs ../shared/data')
def test_real_key_slices(run_tool, tmp_path):
    source, out = KEY_SLICES / 'key_slices_coco.json', tmp_path / 'masks.json'
    arguments = [source, '--images', KEY_SLICES / 'key_slices', '--out', out, '--recist-from-box']
    run_tool(TOOL, *arguments)
    annotations = json.loads(out.read_text())['annotations']
    assert [ann['mask_source'] for ann in annotations].count('grabcut') == 41
    for ann in annotations:
        x, y, w, h = ann['bbox']
        left, top, width, height = mask_utils.toBbox(ann['segmentation'])
        assert left >= x and top >= y and left + width <= x + w + 1 and top + height <= y + h + 1
        diamond = max(w - 10, 1) * max(h - 10, 1) / 2
        assert mask_utils.area(ann['segmentation']) > diamond
