import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.runner import Runner

from mmlesion.datasets import VolumeDataset, volumes
from mmlesion.io.volumes import write_annotations, write_volume
from mmlesion.structures import Grid
from mmlesion.utils import UserError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
PHANTOM_CONFIGS = CONFIGS.parents[1] / 'phantom' / '_base_' / 'datasets'
# the stored grid's directions, as the converter writes them, and its first voxel's center
DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ORIGIN = (-10.0, 20.0, 300.0)
SIZE = (24, 20, 28)


def finding(center, diameter=6.0, ignore=0):
    return {'center_mm': center, 'diameter_mm': diameter, 'ignore': ignore}


@pytest.fixture
def root(tmp_path):
    """Volumes of the folds 0, 1, 2; the first has a lesion and an excluded finding."""
    grid = Grid(SIZE, (1.0, 1.0, 1.0), ORIGIN, DIRECTION)
    entries = []
    for fold in range(3):
        hu = np.random.default_rng(fold).integers(-1000, 400, SIZE, dtype=np.int16)
        entries.append(write_volume(tmp_path, f'2.25.{fold}', hu, grid, fold=fold))
    lesions = [
        [finding([-2.0, 25.0, 290.0]), finding([5.0, 30.0, 285.0], 10.0, 1)],
        [],
        [finding([0.0, 30.0, 290.0], 50.0, 1)],
    ]
    write_annotations(tmp_path / 'volumes.json', entries, lesions, 'nodule', 'Test')
    return tmp_path


def build(root, **options):
    options.setdefault('metainfo', dict(classes=('nodule',)))
    return VolumeDataset(ann_file='volumes.json', data_root=str(root), **options)


def edit(root, change):
    path = root / 'volumes.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def ids(dataset):
    return [dataset.get_data_info(index)['volume_id'] for index in range(len(dataset))]


def test_a_sample(root):
    sample = build(root).get_data_info(0)
    assert sample['volume_path'] == str(root / 'volumes' / '2.25.0.npy')
    assert sample['volume_id'] == 1 and sample['series_uid'] == '2.25.0'
    assert sample['size'] == list(SIZE) and sample['origin'] == list(ORIGIN)
    assert sample['direction'] == list(DIRECTION) and sample['spacing'] == [1.0] * 3
    lesion, excluded = sample['instances']
    assert lesion == dict(
        center_mm=[-2.0, 25.0, 290.0], diameter_mm=6.0, bbox_label=0, ignore_flag=0
    )
    assert excluded['ignore_flag'] == 1


def test_marks_of_a_lesion_are_tested_with_and_not_trained_with(root):
    def mark(content):
        lesion = content['annotations'][0]
        x, y, z = lesion['center_mm']
        marks = [[x + 2, y + 2, z], [x, y, z - 3.1]]  # in its radius of 3 mm, and beside it
        for center in marks:
            marked = dict(lesion, id=9, center_mm=center, diameter_mm=10.0, ignore=1)
            content['annotations'].append(marked)

    edit(root, mark)
    trained, tested = build(root), build(root, test_mode=True)
    flags = [[i['ignore_flag'] for i in d.get_data_info(0)['instances']] for d in (trained, tested)]
    assert flags == [[0, 1, 1], [0, 1, 1, 1]]
    assert trained.get_data_info(0)['instances'][2]['center_mm'] == [-2.0, 25.0, 286.9]


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda c: c['volumes'][1].update(id=1), 'two volumes have the same id'),
        (lambda c: c['annotations'][0].update(ignore='0'), 'annotation 0 .* "ignore": Expected'),
        (lambda c: c['annotations'][0].update(diameter_mm=0), '"diameter_mm": 0: a sphere'),
    ],
)
def test_what_evaluation_refuses_training_refuses_too(root, change, message):
    edit(root, change)
    with pytest.raises(UserError, match=message):
        build(root)


def test_annotations_that_are_listed_twice_and_a_byte_order_mark(root, monkeypatch):
    logged = []
    monkeypatch.setattr(volumes, 'print_log', lambda text, *_: logged.append(text))
    edit(root, lambda c: c['annotations'].append(dict(c['annotations'][0], id=9)))
    path = root / 'volumes.json'
    path.write_text(path.read_text(), 'utf-8-sig')
    build(root)
    assert logged == [f'1 annotations of {path} are listed twice, and used twice']


def test_folds(root):
    assert ids(build(root)) == [1, 2, 3]
    assert ids(build(root, fold=1)) == [1, 3]
    assert ids(build(root, fold=1, split='test')) == [2]
    assert ids(build(root, fold=(0, 2), split='train')) == [2]
    assert ids(build(root, fold=(0, 2), split='test')) == [1, 3]
    with pytest.raises(UserError, match='no volume to test with fold=7'):
        build(root, fold=7, split='test')
    with pytest.raises(UserError, match="split='val'"):
        build(root, fold=0, split='val')


def test_crops_and_filter(root):
    assert ids(build(root, crops_per_volume=2)) == [1, 1, 2, 2, 3, 3]
    filtered = dict(filter_cfg=dict(filter_empty_gt=True), crops_per_volume=2)
    assert ids(build(root, **filtered)) == [1, 1]
    assert ids(build(root, test_mode=True, **filtered)) == [1, 2, 3]
    with pytest.raises(UserError, match='leaves none of the 1 volumes'):
        build(root, fold=1, split='test', filter_cfg=dict(filter_empty_gt=True))
    with pytest.raises(UserError, match='crops_per_volume=0'):
        build(root, crops_per_volume=0)


def test_samples_by_lesion(root):
    """The lesion that is not ignored, then all volumes, whatever else is asked for."""
    dataset = build(root, by_lesion=True)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [sample['volume_id'] for sample in samples] == [1, 1, 2, 3]
    lesion, *others = [sample['crop_target'] for sample in samples]
    assert lesion['center_mm'] == [-2.0, 25.0, 290.0] and others == [None] * 3
    assert samples[0]['instances'] == samples[1]['instances']
    assert ids(build(root, by_lesion=True, test_mode=True)) == [1, 2, 3]


def test_preparation(root, monkeypatch):
    """A model is not trained on volumes that were made otherwise than its config says."""
    wanted = dict(lungs=dict(margin=10.0, outside='fill'))
    metainfo = dict(classes=('nodule',), preparation=wanted)
    logged = []
    monkeypatch.setattr(volumes, 'print_log', lambda text, *_: logged.append(text))
    build(root, metainfo=metainfo)
    assert 'prepared by None' in logged[0]  # an older file does not say it
    edit(root, lambda content: content['info'].update(preparation=wanted))
    assert build(root, metainfo=metainfo).metainfo['preparation'] == wanted
    build(root)
    assert len(logged) == 1
    kept = dict(lungs=dict(margin=10.0, outside='keep'))
    edit(root, lambda content: content['info'].update(preparation=kept))
    with pytest.raises(UserError, match="'keep'.* the config has .*'fill'"):
        build(root, metainfo=metainfo)


def test_hard_spots(root):
    dataset = build(root)
    dataset.hard_spots = {2: [[1.0, 2.0, 3.0, 4.0]]}
    assert [s['hard_spots'] for s in dataset] == [[], [[1.0, 2.0, 3.0, 4.0]], []]


def test_other_classes_are_left_out(root):
    def add_category(content):
        content['categories'].append({'id': 2, 'name': 'mass'})
        content['annotations'][0]['category_id'] = 2

    edit(root, add_category)
    assert [len(sample['instances']) for sample in build(root)] == [1, 0, 1]
    both = build(root, metainfo=dict(classes=('mass', 'nodule')))
    labels = [instance['bbox_label'] for instance in both.get_data_info(0)['instances']]
    assert labels == [0, 1]
    with pytest.raises(UserError, match='has no category lesion.* nodule, mass'):
        build(root, metainfo=None)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda c: c['volumes'][0].pop('size'), "'size'"),
        (lambda c: c['volumes'].clear(), 'KeyError'),
        (lambda c: c['annotations'][0].update(center_mm=[1, 2]), 'ValueError'),
        (lambda c: c['annotations'][0].update(volume_id=9), 'KeyError: 9'),
        (lambda c: c.pop('categories'), "'categories'"),
    ],
)
def test_other_schemas(root, change, message):
    edit(root, change)
    with pytest.raises(UserError, match='not an annotation file of volumes') as error:
        build(root)
    assert message in str(error.value)


def test_unusable_files(root):
    with pytest.raises(UserError, match='does not exist'):
        VolumeDataset(ann_file='other.json', data_root=str(root))
    (root / 'volumes.json').write_text('{')
    with pytest.raises(UserError, match='is not valid JSON'):
        build(root)


def test_paths_stay_under_the_root(root):
    edit(root, lambda content: content['volumes'][0].update(file_name='../../secret.npy'))
    with pytest.raises(UserError, match='leads outside'):
        build(root)


def test_one_config_serves_all_folds(root, monkeypatch):
    """The fold is that of the environment; all of its crops and scans are read."""
    monkeypatch.setenv('LUNA16_FOLD', '2')
    cfg = Config.fromfile(CONFIGS / 'luna16.py')
    found = {}
    for name in ('train', 'val', 'test', 'train_scan'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.update(data_root=str(root), ann_file='volumes.json')
        loader.num_workers = 0
        found[name] = Runner.build_dataloader(loader, seed=0)
    shapes = {
        name: {tuple(volume.shape) for batch in loader for volume in batch['inputs']}
        for name, loader in found.items()
    }
    assert shapes == dict(
        train={(1, 128, 128, 128)}, val={(1, *SIZE)}, test={(1, *SIZE)}, train_scan={(1, *SIZE)}
    )
    seen = {name: sorted(set(ids(loader.dataset))) for name, loader in found.items()}
    assert seen == dict(train=[1, 2], val=[3], test=[3], train_scan=[1, 2])


@pytest.mark.parametrize(
    'folder, name',
    [(CONFIGS, 'luna16'), (CONFIGS, 'deeplesion_3d'), (PHANTOM_CONFIGS, 'deeplesion_3d')],
)
def test_dataset_configs_build(folder, name, monkeypatch):
    monkeypatch.delenv('LUNA16_FOLD', raising=False)
    cfg = Config.fromfile(folder / f'{name}.py')
    for split in ('train', 'val', 'test', 'train_scan'):
        dataset = DATASETS.build(dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True))
        assert dataset.fold == (0 if name == 'luna16' else None)
        assert ('preparation' in dataset.metainfo) == (name == 'luna16')
        assert dataset.test_mode == (split != 'train')


@pytest.mark.parametrize('name', ['luna16', 'deeplesion_3d'])
def test_crops_and_windows_are_padded_alike(name):
    """A window at a scan's border looks as a crop does there."""
    crop = TRANSFORMS.build(Config.fromfile(CONFIGS / f'{name}.py').train_pipeline[2])
    model = Config.fromfile(CONFIGS.parent / 'models' / 'aggregated_rcnn3d.py').model
    assert MODELS.build(model.data_preprocessor).pad_hu == crop.pad_hu == 0


def test_deeplesion_is_evaluated_as_in_the_paper():
    """Tables V and VI."""
    cfg = Config.fromfile(CONFIGS / 'deeplesion_3d.py')
    assert cfg.val_evaluator.fp_levels == cfg.test_evaluator.fp_levels == (0.5, 1, 2, 4, 8, 16)
    assert cfg.test_evaluator.groups == ('lesion_type', 'diameter')
