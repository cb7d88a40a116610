"""The search of auto-lesion blocks by mmengine's Runner, on a model of a few regions."""

import json
from copy import deepcopy

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmlesion.models.alb_search import SearchALBEncoder, derive_genotype
from mmlesion.models.layers import check_genotype
from mmlesion.utils import UserError

BATCH = 4


class Regions:
    """A region a sample; its target is the mean of its first channel."""

    def __init__(self, patients=range(14)):
        self.patients = patients
        generator = torch.Generator().manual_seed(0)
        self.features = torch.randn(len(patients), 3, 4, 4, generator=generator)
        self.metainfo = {}

    def __len__(self):
        return len(self.features)

    def __getitem__(self, index):
        features = self.features[index]
        return dict(index=index, inputs=features, targets=features[0].mean())

    def get_data_info(self, index):
        return dict(patient_id=self.patients[index], width=4, height=4)


class SmallDetector(BaseModel):
    """An encoder that is searched, and notes of the samples that each update saw."""

    def __init__(self):
        super().__init__()
        self.encoder = SearchALBEncoder(3, channels=2, num_reductions=1)
        self.fc = nn.Linear(self.encoder.out_channels, 1)
        self.seen = dict(weights=[], architecture=[], none=[])

    def forward(self, index, inputs, targets, mode='loss'):
        self.seen[self.trained_part()] += index
        features, _ = self.encoder(torch.stack(inputs), [len(inputs)])
        return dict(loss=(self.fc(features)[:, 0] - torch.stack(targets)).square().mean())

    def trained_part(self):
        if not torch.is_grad_enabled():
            return 'none'
        return 'weights' if self.fc.weight.requires_grad else 'architecture'


class StopAfter(Hook):
    """End a run early, as a fault would, but after its checkpoint."""

    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epochs:
            runner.train_loop.stop_training = True


def make_runner(work_dir, max_epochs=3, hooks=(), optim_wrapper=None, **options):
    """A runner of the search; options beginning with ``run_`` are the Runner's."""
    run = {key[4:]: options.pop(key) for key in list(options) if key.startswith('run_')}
    sampler = options.pop('sampler', dict(type='PatientHalfSampler', half=0))
    dataset = options.pop('dataset', None) or Regions()
    loader = dict(batch_size=BATCH, num_workers=0, dataset=dataset, sampler=sampler)
    loader['batch_sampler'] = dict(type='AspectRatioBatchSampler')
    loader['collate_fn'] = dict(type='pseudo_collate')
    torch.manual_seed(0)
    cosine = dict(type='CosineAnnealingLR', end=max_epochs, eta_min=0, convert_to_iter_based=True)
    return Runner(
        SmallDetector(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(type='ALBSearchLoop', max_epochs=max_epochs, **options),
        optim_wrapper=optim_wrapper
        or dict(
            constructor='SearchOptimWrapperConstructor',
            weights=dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=3e-4)),
            architecture=dict(optimizer=dict(type='Adam', lr=0.01, betas=(0.5, 0.999))),
        ),
        param_scheduler=dict(weights=[cosine], architecture=[]),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        custom_hooks=[dict(type='EpochSeedHook'), *hooks],
        default_scope='mmdet',
        experiment_name=str(work_dir).replace('/', '_') + str(len(hooks)),
        randomness=dict(seed=0),
        **run,
    )


def state(model, architecture):
    return {
        name: value.clone()
        for name, value in model.named_parameters()
        if name.startswith('encoder.architecture') == architecture
    }


def same(first, second):
    return [torch.equal(first[name], second[name]) for name in first]


def test_updates_touch_their_own_parameters_alone(tmp_path):
    runner = make_runner(tmp_path, architecture_begin=0)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loop = runner.build_train_loop(runner._train_loop)
    batch = next(iter(loop.dataloader))
    for part in ('weights', 'architecture'):
        searched, others = state(runner.model, True), state(runner.model, False)
        loop.strategy.update(part, batch)
        touched, left = (others, searched) if part == 'weights' else (searched, others)
        assert all(same(left, state(runner.model, part == 'weights')))
        assert not any(same(touched, state(runner.model, part != 'weights'))[-2:])
        assert all(p.requires_grad and p.grad is None for p in runner.model.parameters())


def test_what_is_frozen_stays_frozen(tmp_path):
    runner = make_runner(tmp_path, max_epochs=1, architecture_begin=0)
    runner.model.fc.requires_grad_(False)
    before = runner.model.fc.weight.clone()
    runner.train()
    assert torch.equal(before, runner.model.fc.weight) and not runner.model.fc.weight.requires_grad


def test_each_part_sees_its_half(tmp_path):
    runner = make_runner(tmp_path, architecture_begin=1)
    architectures = []

    class Note(Hook):
        def after_train_epoch(self, runner):
            architectures.append(state(runner.model, True))

    initial = state(runner.model, True)
    runner.register_hook(Note())
    runner.train()
    assert all(same(initial, architectures[0]))
    assert not any(same(architectures[0], architectures[1]))
    first, second = (set(runner.model.seen[part]) for part in ('weights', 'architecture'))
    assert first | second == set(range(14)) and not first & second
    assert len(runner.model.seen['weights']) == 3 * 7  # halves of 7 in batches of 4 and 3
    assert len(runner.model.seen['architecture']) == 2 * 7


def test_results_logs_and_pictures(tmp_path):
    runner = make_runner(tmp_path, architecture_begin=0)
    runner.train()
    result = json.loads((tmp_path / 'search.json').read_text())
    genotypes = Config.fromfile(tmp_path / 'genotypes.py').genotypes.to_dict()
    architecture = runner.model.encoder.architecture
    for kind, weights in architecture.weights().items():
        torch.testing.assert_close(torch.tensor(result['weights'][kind]), weights.detach())
        assert genotypes[kind] == derive_genotype(weights.detach().numpy())
        assert [list(branch) for branch in genotypes[kind]] == result['genotypes'][kind]
    assert result['entropies'] == architecture.entropies()
    assert result['strategy'] == 'gradient' and result['seed'] == 0 and result['seconds'] > 0
    assert cv2.imread(str(tmp_path / 'cells.png')) is not None
    (vis_data,) = tmp_path.glob('*/vis_data')
    assert len(list(vis_data.glob('vis_image/cells_*.png'))) == 3
    lines = [json.loads(line) for line in (vis_data / 'scalars.json').read_text().splitlines()]
    entropies = {line['step']: line for line in lines if 'search/entropy_alb' in line}
    assert sorted(entropies) == [1, 2, 3]
    assert entropies[3]['search/entropy_alb'] == result['entropies']['alb']
    steps = [line for line in lines if 'loss' in line]
    assert len(steps) == 6 and all('architecture_loss' in step for step in steps)
    assert steps[-1]['weights.lr'] < steps[0]['weights.lr'] == 0.02
    assert {step['architecture.lr'] for step in steps} == {0.01}


# either half is the longer one, of which an epoch leaves batches over
@pytest.mark.parametrize('strategy, half', [('gradient', 0), ('gradient', 1), ('random', 0)])
def test_a_resumed_search_ends_as_the_unbroken_one(strategy, half, tmp_path):
    options = dict(
        max_epochs=2,
        strategy=strategy,
        architecture_begin=0,
        num_samples=3,
        dataset=Regions([0] * 10 + [1, 2, 3, 4]),
        sampler=dict(type='PatientHalfSampler', half=half),
    )
    unbroken = make_runner(tmp_path / 'unbroken', **options)
    unbroken.train()
    make_runner(tmp_path / 'broken', hooks=[StopAfter(1)], **options).train()
    torch.manual_seed(5)
    resumed = make_runner(tmp_path / 'broken', run_resume=True, **options)
    resumed.train()
    assert 2 * len(resumed.model.seen['weights']) == len(unbroken.model.seen['weights'])
    expected, found = unbroken.model.state_dict(), resumed.model.state_dict()
    assert all(same(expected, found))
    files = [
        json.loads((tmp_path / name / 'search.json').read_text()) for name in ('unbroken', 'broken')
    ]
    for result in files:
        del result['seconds']
    assert files[0] == files[1]


def test_a_search_is_not_resumed_by_the_other_strategy(tmp_path):
    random = dict(max_epochs=1, strategy='random', num_samples=2)
    make_runner(tmp_path, **random).train()
    found = (tmp_path / 'genotypes.py').read_bytes()
    gradient = make_runner(tmp_path, max_epochs=1, architecture_begin=0, run_resume=True)
    with pytest.raises(UserError, match="by strategy='random', not 'gradient'"):
        gradient.train()
    assert (tmp_path / 'genotypes.py').read_bytes() == found


def test_random_search_keeps_the_best_of_its_samples(tmp_path):
    runner = make_runner(tmp_path, strategy='random', num_samples=5)
    initial = state(runner.model, True)
    runner.train()
    assert all(same(initial, state(runner.model, True)))  # there are no alphas to train
    assert not runner.model.seen['architecture']
    assert not set(runner.model.seen['none']) & set(runner.model.seen['weights'])
    result = json.loads((tmp_path / 'search.json').read_text())
    losses = [candidate['loss'] for candidate in result['candidates']]
    assert len(losses) == 5 and losses == sorted(losses) and len(set(losses)) == 5
    best = result['candidates'][0]
    assert result['genotypes'] == {kind: best[kind] for kind in ('alb', 'reduction')}
    check_genotype(result['genotypes']['alb'])


def test_a_score_is_the_mean_loss_over_batches(tmp_path):
    runner = make_runner(tmp_path, strategy='random', num_samples=2)
    runner.train()
    best = json.loads((tmp_path / 'search.json').read_text())['candidates'][0]
    model, losses = deepcopy(runner.model).eval(), []
    model.encoder.train()
    model.encoder.architecture.genotypes = {k: best[k] for k in ('alb', 'reduction')}
    for batch in runner.train_loop.second_half_loader():
        losses.append(model(**batch)['loss'].item())
    assert len(losses) == 2 and best['loss'] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_scoring_on_some_batches(tmp_path):
    runner = make_runner(
        tmp_path, max_epochs=1, strategy='random', num_samples=2, num_score_batches=1
    )
    runner.train()
    assert len(runner.model.seen['none']) == 2 * BATCH


@pytest.mark.parametrize(
    'options, says',
    [
        (dict(architecture_begin=3), 'architecture_begin=3 of 3 epochs'),
        (dict(strategy='evolution'), "strategy='evolution'"),
        (dict(strategy='random', num_samples=0), 'num_samples=0'),
        (dict(sampler=dict(type='DefaultSampler')), 'PatientHalfSampler'),
        (dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1))), 'SearchOptimWrapper'),
    ],
)
def test_unusable_configs(options, says, tmp_path):
    with pytest.raises(UserError, match=says):
        make_runner(tmp_path, **options).train()
