import csv
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from mmdet.registry import DATA_SAMPLERS
from mmengine.config import Config
from mmengine.dist import get_rank
from torch import distributed

from mmlesion.datasets import LesionCropSampler, VolumeDataset
from mmlesion.io.luna16 import read_luna16_findings
from mmlesion.io.volumes import write_annotations
from mmlesion.utils import UserError
from mmlesion.utils.processes import leave_process_group

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / 'shared' / 'data' / 'luna16'
CONFIG = ROOT / 'configs/_base_/datasets/luna16.py'


def dataset_of(root, findings, **options):
    """A dataset of volumes with these findings; no voxels are needed."""
    grid = dict(size=[9] * 3, spacing=[1.0] * 3, origin=[0.0] * 3, direction=[1.0] * 9)
    volumes = [
        dict(file_name=f'{i}.npy', series_uid=f'2.25.{i}', **grid) for i in range(len(findings))
    ]
    write_annotations(root / 'volumes.json', volumes, findings, 'nodule', 'Test')
    return VolumeDataset(
        ann_file='volumes.json',
        data_root=str(root),
        metainfo=dict(classes=('nodule',)),
        **{'by_lesion': True, **options},
    )


def finding(diameter, ignore=0):
    return dict(center_mm=[1.0, 2.0, 3.0], diameter_mm=diameter, ignore=ignore)


FINDINGS = [
    [finding(4.0), finding(10.0), finding(8.0, ignore=1)],
    [],
    [finding(10.5)],
    [finding(6.0, ignore=1)],
    [finding(25.0)],
]


@pytest.fixture
def dataset(tmp_path):
    return dataset_of(tmp_path, FINDINGS)


def aimed_at(dataset, indices):
    targets = [dataset.get_data_info(i)['crop_target'] for i in indices]
    return Counter(target and target['diameter_mm'] for target in targets)


def test_an_epoch(dataset):
    sampler = LesionCropSampler(dataset, seed=0)
    counts = aimed_at(dataset, sampler)
    # of ignored findings none; 12 crops are 70 % of 17
    assert counts == {4.0: 1, 10.0: 1, 10.5: 3, 25.0: 7, None: 5}
    assert len(sampler) == sum(counts.values())
    volumes = [dataset.get_data_info(i) for i in sampler]
    anywhere = [v['volume_id'] for v in volumes if v['crop_target'] is None]
    assert sorted(anywhere) == [1, 2, 3, 4, 5]  # each once before any comes twice


def test_options(dataset):
    sampler = LesionCropSampler(dataset, ((5, 2),), random_share=0, seed=0)
    assert aimed_at(dataset, sampler) == {10.0: 2, 10.5: 2, 25.0: 2}
    half = LesionCropSampler(dataset, ((0, 3),), random_share=0.5, seed=0)
    assert aimed_at(dataset, half)[None] == 12 and len(half) == 24


def test_epochs_and_seeds(dataset):
    sampler = LesionCropSampler(dataset, ((0, 2),), seed=3)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    again = LesionCropSampler(dataset, ((0, 2),), seed=3)
    again.set_epoch(1)
    assert list(again) == second
    assert list(LesionCropSampler(dataset, ((0, 2),), seed=4)) != first


def test_unusable(dataset, tmp_path):
    with pytest.raises(UserError, match='set by_lesion=True'):
        LesionCropSampler(dataset_of(tmp_path, FINDINGS, by_lesion=False))
    with pytest.raises(UserError, match='none of the 4 lesions'):
        LesionCropSampler(dataset, ((30, 1),))
    with pytest.raises(UserError, match='none of the 0 lesions'):
        LesionCropSampler(dataset_of(tmp_path, [[], [finding(5.0, 1)]]))
    with pytest.raises(UserError, match='ascending'):
        LesionCropSampler(dataset, ((10, 1), (10, 2)))
    with pytest.raises(UserError, match='random_share=1'):
        LesionCropSampler(dataset, random_share=1)
    first = dataset_of(tmp_path, FINDINGS, indices=2)
    with pytest.raises(UserError, match='leave indices out of it'):
        LesionCropSampler(first)
    assert len(LesionCropSampler(first, random_share=0)) == 2
    with pytest.raises(UserError, match='leave out one'):
        dataset_of(tmp_path, FINDINGS, crops_per_volume=2)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f'{SHARED} is not there')
def test_the_official_list(tmp_path):
    """By the config: every nodule in every epoch, and 70 % of all crops aim at one."""
    uids = (SHARED / 'seriesuids.csv').read_text().split()
    lists = SHARED / 'annotations.csv', SHARED / 'annotations_excluded.csv'
    dataset = dataset_of(tmp_path, read_luna16_findings(*lists, tmp_path, uids))
    cfg = Config.fromfile(CONFIG).train_dataloader
    assert cfg.dataset.by_lesion
    sampler = DATA_SAMPLERS.build(dict(cfg.sampler, dataset=dataset, seed=0))
    drawn = Counter(sampler)
    with open(SHARED / 'annotations.csv', newline='') as file:
        nodules = len(list(csv.DictReader(file)))
    aimed = [drawn[index] for index in range(nodules)]  # those samples come first
    assert nodules == 1186 and min(aimed) == 1 and max(aimed) == 7
    assert sum(aimed) == 1948 and len(sampler) == 2783
    assert set(drawn) <= set(range(nodules + 888))


def test_random_crops_by_size(tmp_path):
    """Of a large scan and small cubes, nearly all random crops are of the scan."""
    dataset_of(tmp_path, [[finding(6.0)] for _ in range(10)])
    content = json.loads((tmp_path / 'volumes.json').read_text())
    content['volumes'][3]['size'] = [90] * 3  # a thousand times the others' 9
    (tmp_path / 'volumes.json').write_text(json.dumps(content))
    dataset = VolumeDataset(
        ann_file='volumes.json',
        data_root=str(tmp_path),
        metainfo=dict(classes=('nodule',)),
        by_lesion=True,
    )
    sampler = LesionCropSampler(dataset, random_share=0.9, by_size=True, seed=1)
    drawn = [dataset.get_data_info(index) for index in sampler]
    anywhere = [one['volume_id'] for one in drawn if one['crop_target'] is None]
    assert len(anywhere) == 90 and anywhere.count(4) > 80
    assert list(sampler) == list(sampler)


def test_two_processes_share_what_one_has(launch, dataset, tmp_path):
    launch(__file__, tmp_path)
    parts = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    sampler = LesionCropSampler(dataset, seed=5)
    sampler.set_epoch(2)
    whole = list(sampler)
    assert [len(part) for part in parts] == [9, 9]
    both = [index for pair in zip(*parts) for index in pair]
    assert both == whole + whole[:1]


def main(root):
    """Write down what one of two processes draws."""
    distributed.init_process_group('gloo')
    sampler = LesionCropSampler(dataset_of(root / str(get_rank()), FINDINGS), seed=5)
    sampler.set_epoch(2)
    (root / f'{get_rank()}.json').write_text(json.dumps(list(sampler)))
    assert len(sampler) == 9


if __name__ == '__main__':
    main(Path(sys.argv[1]))
    leave_process_group()
