import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401
from mmlesion.utils.processes import leave_process_group

BASE = Path(__file__).parents[3] / 'configs/_base_'
BRANCHES = 'rpn_head.heads', 'roi_head.bbox_head'


def make_model(datasets=None, seed=0):
    torch.manual_seed(seed)
    cfg = Config.fromfile(BASE.parent / 'phantom/_base_/models/lens_small.py').model
    cfg.backbone.backbone.update(block_layers=(1, 1, 1), norm_eval=True)
    cfg.neck.update(in_channels=[48, 40, 36])
    cfg.datasets = datasets or cfg.datasets
    # all that is proposed is sampled: nothing is left to chance
    cfg.train_cfg.rpn_proposal.max_per_img = 40
    cfg.train_cfg.rcnn.sampler.update(num=200)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def make_batch(name, seed, boxes=((12, 16, 44, 40),)):
    """Two images, the second without a lesion."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randint(0, 255, (9, 64, 64), generator=generator, dtype=torch.uint8) for _ in range(2)
    ]
    samples = []
    for truth in (boxes, ()):
        shape = (64, 64)
        sample = DetDataSample(
            metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1, 1), dataset_name=name)
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(truth, dtype=torch.float32).reshape(-1, 4),
            labels=torch.zeros(len(truth), dtype=torch.long),
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def optimizer(model, kind='RAdam'):
    return build_optim_wrapper(model, dict(optimizer=dict(type=kind, lr=0.01)))


def test_a_step_changes_shared_layers_and_the_branch_of_its_dataset():
    model = make_model().train()
    optim_wrapper = optimizer(model)
    # first a step of another dataset, whose momentum must not move its branch afterwards
    model.train_step(make_batch('lits', 1), optim_wrapper)
    before = weights(model)
    log = model.train_step(make_batch('luna16', 0), optim_wrapper)
    names = {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'}
    assert names <= set(log) and all(torch.isfinite(log[name]) for name in names)
    assert torch.isclose(log['loss'], sum(log[name] for name in names))
    for name, value in model.named_parameters():
        branch = name.startswith(BRANCHES)
        if branch and '.luna16.' not in name:
            assert torch.equal(value, before[name]), name
        elif branch or name.startswith(('neck', 'roi_head.shared_head')):
            assert not torch.equal(value, before[name]), name


def test_weights_of_equation_1():
    model = make_model()
    for head in model.rpn_head.heads.values():
        assert head.loss_cls.loss_weight == 1 and head.loss_bbox.loss_weight == 0.1
    for expert in model.roi_head.bbox_head.values():
        assert expert.loss_cls.loss_weight == 1 and expert.loss_bbox.loss_weight == 10


def test_another_dataset_is_another_name(tmp_path):
    model = make_model(['deeplesion', 'luna16'])
    more = make_model(['kits19', 'luna16', 'deeplesion'], seed=1)
    own = set(more.state_dict()) - set(model.state_dict())
    assert own and all('.kits19.' in name for name in own)
    more.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(
        more.roi_head.bbox_head['luna16'].fc_cls.weight,
        model.roi_head.bbox_head['luna16'].fc_cls.weight,
    )
    assert more.datasets == ('kits19', 'luna16', 'deeplesion')


def test_inference_pools_the_experts():
    model = make_model().eval()
    model.roi_head.test_cfg.update(keep_experts=True, score_thr=0.0)
    for sample in model.test_step(make_batch('any', 0)):
        assert sample.pred_instances.expert.max() < 4
        assert sample.expert_instances.expert.unique().tolist() == [0, 1, 2, 3]
        assert (sample.pred_instances.scores.diff() <= 0).all()


def test_the_papers_model_and_schedule():
    cfg = Config.fromfile(BASE / 'models/lens.py')
    cfg.merge_from_dict(Config.fromfile(BASE / 'schedules/schedule_lens.py').to_dict())
    model = MODELS.build(cfg.model)
    assert model.neck.fusion.out_channels == 512
    assert list(model.rpn_head.heads) == list(model.roi_head.bbox_head) == cfg.datasets
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert isinstance(optim_wrapper.optimizer, torch.optim.RAdam)
    assert optim_wrapper.optimizer.defaults['lr'] == 1e-4
    assert cfg.train_cfg.max_epochs == 8 and cfg.param_scheduler[0].milestones == [4, 6]
    # Table IV: four datasets have 1.1 times the size of one
    cfg.model.datasets = ['deeplesion']
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, MODELS.build(cfg.model))]
    assert sizes[0] / sizes[1] < 1.15


def batch_of(process, processes):
    """This process's share of two batches of different datasets."""
    batches = []
    for name in ('lits', 'deeplesion'):
        halves = [make_batch(name, 0), make_batch(name, 1, boxes=((20, 8, 60, 30), (2, 2, 14, 12)))]
        own = halves if processes == 1 else halves[process : process + 1]
        batches.append({key: sum((half[key] for half in own), []) for key in own[0]})
    return batches


def train(model, batches, module):
    optim_wrapper = optimizer(module, 'SGD')
    model.train()
    for batch in batches:
        model.train_step(batch, optim_wrapper)
    return weights(module)


def main(folder):
    """Train in one of two processes."""
    torch.distributed.init_process_group('gloo')
    process = torch.distributed.get_rank()
    init_default_scope('mmdet')
    module = make_model()
    wrapped = MMDistributedDataParallel(
        module, broadcast_buffers=False, find_unused_parameters=True
    )
    torch.save(train(wrapped, batch_of(process, 2), module), f'{folder}/{process}.pth')


@pytest.mark.skipif(not torch.distributed.is_available(), reason='torch has no distributed package')
def test_two_processes_train_what_one_does(launch, tmp_path):
    model = make_model()
    before = weights(model)
    alone = train(model, batch_of(0, 1), model)
    launch(__file__, tmp_path)
    for rank in range(2):
        together = torch.load(tmp_path / f'{rank}.pth', weights_only=True)
        for name, value in alone.items():
            torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-5, msg=name)
    assert not torch.equal(alone['neck.fusion.weight'], before['neck.fusion.weight'])
    for name, value in alone.items():
        if '.luna16.' in name or '.nih_ln.' in name:
            assert torch.equal(value, before[name])


if __name__ == '__main__':
    main(sys.argv[1])
    leave_process_group()
