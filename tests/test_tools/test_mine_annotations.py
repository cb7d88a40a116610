import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

import mmlesion  # noqa: F401 (registers its components)

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'mine_annotations.py'


@pytest.fixture
def data(ramp_dataset):
    """Two studies of a patient, seven slices each, with a lesion on one slice."""
    for study in (1, 2):
        image = ramp_dataset.add_image(size=(64, 64))
        image.update(patient_id=1, study_id=study)
    ramp_dataset.add_lesion(1, [10, 10, 20, 20])
    ramp_dataset.write()
    return ramp_dataset.root


def write_config(data, name, model, num_slices=3):
    """A config of a model with random weights, and its checkpoint."""
    pipeline = [
        dict(type='LoadCTSlices', num_slices=num_slices),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_path', 'img_shape', 'ori_shape')),
    ]
    if name == 'detector':
        pipeline.insert(1, dict(type='Resize', scale=(64, 64), keep_ratio=True))
        pipeline[-1]['meta_keys'] += ('scale_factor',)
    dataset = dict(
        type='CTSliceDataset',
        data_root=f'{data}/',
        ann_file='train.json',
        data_prefix=dict(img='Images_png/'),
        dataset_name='deeplesion',
        pipeline=pipeline,
    )
    loader = dict(dataset=dataset)
    cfg = Config(dict(model=model, train_dataloader=loader, test_dataloader=loader))
    cfg.dump(data / f'{name}.py')
    torch.manual_seed(0)
    checkpoint = data / f'{name}.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), checkpoint)
    return [str(data / f'{name}.py'), str(checkpoint)]


@pytest.fixture
def detector(data):
    """A detector without training, which finds something everywhere."""
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/faster-rcnn_r18_fpn_small.py')
    cfg.model.test_cfg.rcnn.max_per_img = 5
    return write_config(data, 'detector', cfg.model)


@pytest.fixture
def embedder(data):
    cfg = Config.fromfile(ROOT / 'configs/phantom/lens/lesion-embedding_r18_phantom.py')
    return write_config(data, 'embedder', cfg.model)


@pytest.fixture
def run(run_tool, data):
    def call(*args):
        settings = ['--num-workers', 0, '--device', 'cpu', '--out', data / 'mined.json']
        run_tool(TOOL, *args, *settings)

    return call


def test_whole_and_again(run, data, detector, embedder, capsys):
    rules = ['--rules', 'propagation', 'matching', '--unlabeled', '--delta', '2.1']
    run(*detector, *rules, '--embedder', *embedder)
    coco = json.loads((data / 'mined.json').read_text())
    report = json.loads((data / 'mined.report.json').read_text())
    assert len(coco['images']) == 14 and report['counts'][-1]['slices'] == 14
    # of unit vectors all are nearer than 2.1
    assert 'matching' in {annotation['source'] for annotation in coco['annotations']}
    assert '+ matching' in capsys.readouterr().out
    files = sorted((data / 'mined.json.mining').glob('*/*.npz'))
    times = [path.stat().st_mtime_ns for path in files]
    assert len(files) == 4
    run(*detector, *rules, '--embedder', *embedder)
    assert [path.stat().st_mtime_ns for path in files] == times
    assert json.loads((data / 'mined.json').read_text()) == coco


def test_slices_that_are_far_apart(run, data, detector):
    """A step of the config's at most: 2 mm are two of 1 mm, and other proposals than before."""
    rules = ['--rules', 'propagation']
    run(*detector, *rules)
    (data / 'mined.json').unlink()
    finer = ['--cfg-options', 'test_dataloader.dataset.max_interval=1.0']
    with pytest.raises(SystemExit, match='results of another model, other options'):
        run(*detector, *rules, *finer)
    run(*detector, *rules, *finer, '--work-dir', data / 'finer')
    stored = next((data / 'finer/proposals').glob('*.npz'))
    with np.load(stored) as arrays:
        assert set(arrays['grid_steps']) == {2}
        # seven slices and six positions between them, of which the untrained detector fills each
        assert len(np.unique(arrays['pooled_slices'])) == 13
    coco = json.loads((data / 'mined.json').read_text())
    assert all(isinstance(image['slice_index'], int) for image in coco['images'])


def test_truth_in_an_annotation_file(run, data, detector, capsys):
    rules = ['--rules', 'propagation', '--truth']
    run(*detector, *rules, data / 'train.json')
    (row,) = json.loads((data / 'mined.report.json').read_text())['truth']
    assert row['rule'] == 'propagation' and row['missing'] == 0  # all lesions are annotated
    (data / 'other.json').write_text('{"images": [], "annotations": [], "categories": []}')
    message = fails(run, capsys, *detector, *rules, data / 'other.json')
    assert 'other.json has no series' in message


def fails(run, capsys, *args):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    return str(stop.value)


@pytest.mark.parametrize('which', ['detector', 'embedder'])
def test_programs_are_not_run(run, detector, embedder, capsys, which):
    hostile = dict(detector=detector, embedder=embedder)[which][1]
    torch.jit.script(torch.nn.Linear(1, 1)).save(hostile)
    message = fails(run, capsys, *detector, '--rules', 'matching', '--embedder', *embedder)
    assert f'the checkpoint {hostile} was rejected: it is a TorchScript program' in message


def test_experts_of_lens(run, data, capsys):
    cfg = Config.fromfile(ROOT / 'configs/phantom/_base_/models/lens_small.py')
    cfg.model.test_cfg.rcnn.score_thr = 0.01
    lens = write_config(data, 'detector', cfg.model, num_slices=9)
    run(*lens, '--rules', 'cross_dataset', '--unlabelled', '--sigma', '0.02', '--score-thr', '0.01')
    coco = json.loads((data / 'mined.json').read_text())
    uncertain = [a for a in coco['annotations'] if a['source'] == 'cross_dataset']
    experts = {annotation['expert'] for annotation in uncertain}
    assert uncertain and experts <= {'luna16', 'lits', 'nih_ln'}
    assert all(annotation['ignore'] == 1 for annotation in uncertain)
    proposals = next((data / 'mined.json.mining').glob('proposals/*.npz'))
    before = proposals.stat().st_mtime_ns
    run(*lens, '--rules', 'propagation', '--score-thr', '0.01')
    assert proposals.stat().st_mtime_ns == before, 'other rules use the same proposals'


def test_shared_features_change_nothing(run, data, monkeypatch):
    from mmlesion.models.backbones import shared_features_backbone

    computed = []

    class Counted(shared_features_backbone.FeatureCache):
        def __call__(self, images):
            before = self.computed
            out = super().__call__(images)
            computed.append((self.computed - before) / len(images))
            return out

    monkeypatch.setattr(shared_features_backbone, 'FeatureCache', Counted)
    cfg = Config.fromfile(ROOT / 'configs/phantom/_base_/models/lens_small.py')
    cfg.model.test_cfg.rcnn.score_thr = 0.01
    lens = write_config(data, 'detector', cfg.model, num_slices=9)
    args = *lens, '--rules', 'propagation', '--score-thr', '0.01'
    for size in ('24', '0'):
        run(*args, '--feature-cache', size, '--work-dir', str(data / size))
    assert computed and np.mean(computed) < 0.9
    paths = sorted((data / '24/proposals').glob('*.npz'))
    for path in paths:
        with np.load(path) as shared, np.load(data / '0/proposals' / path.name) as anew:
            assert set(shared) == set(anew)
            for name in set(shared) & {'pooled_boxes', 'pooled_scores', 'pooled_slices'}:
                np.testing.assert_allclose(shared[name], anew[name], atol=1e-3)
    assert paths
