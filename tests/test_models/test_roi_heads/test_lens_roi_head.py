import math

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import mmlesion.models.roi_heads.lens_roi_head as module
from mmlesion.models import LENSRoIHead
from mmlesion.utils import UserError

NAMES = ['deeplesion', 'luna16', 'lits']
TRAIN_CFG = ConfigDict(
    assigner=dict(
        type='UncertainIoUAssigner',
        pos_iou_thr=0.5,
        neg_iou_thr=0.5,
        match_low_quality=False,
        ignore_iof_thr=0.5,
    ),
    sampler=dict(
        type='RandomSampler', num=64, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False
    ),
    pos_weight=-1,
)


def make_head(**test_cfg):
    torch.manual_seed(0)
    test_cfg = {
        'score_thr': 0.05,
        'nms': dict(type='nms', iou_threshold=0.5),
        'max_per_img': 20,
        **test_cfg,
    }
    head = LENSRoIHead(
        NAMES,
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=2),
            out_channels=4,
            featmap_strides=[4],
        ),
        shared_head=dict(type='FCEncoder', in_channels=4, roi_feat_size=2, fc_out_channels=16),
        bbox_head=dict(
            type='BBoxHead',
            in_channels=16,
            roi_feat_size=1,
            num_classes=1,
            loss_bbox=dict(type='SmoothL1Loss', loss_weight=10.0),
        ),
        train_cfg=TRAIN_CFG,
        test_cfg=ConfigDict(test_cfg),
    )
    head.init_weights()
    for expert in head.bbox_head.values():
        torch.nn.init.normal_(expert.fc_cls.weight)
        torch.nn.init.normal_(expert.fc_reg.weight)
    return head.eval()


def make_sample(name='luna16', boxes=((8, 8, 24, 24),), uncertain=()):
    shape = (64, 64)
    sample = DetDataSample(
        metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(2.0, 2.0), dataset_name=name)
    )
    for field, rows in dict(gt_instances=boxes, ignored_instances=uncertain).items():
        instances = InstanceData(
            bboxes=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
            labels=torch.zeros(len(rows), dtype=torch.long),
        )
        setattr(sample, field, instances)
    return sample


def make_proposals(*boxes, seed=0):
    if not boxes:
        corners = torch.rand(40, 2, generator=torch.Generator().manual_seed(seed)) * 40
        boxes = torch.cat([corners, corners + 16], 1).tolist()
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))


def features(num_images=1):
    return (torch.randn(num_images, 4, 16, 16, generator=torch.Generator().manual_seed(3)),)


def iou(a, b):
    sides = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return sides[0] * sides[1] / (sum(area) - sides[0] * sides[1])


def plain_detections(head, x, proposals, experts):
    """Greedy NMS over all the experts' boxes in a loop: rows of score, box and expert."""
    outputs = head._bbox_forward(x, torch.cat([torch.zeros(40, 1), proposals.bboxes], 1))
    rows = []
    for index, name in enumerate(NAMES):
        if name not in experts:
            continue
        boxes = head.bbox_head[name].bbox_coder.decode(
            proposals.bboxes, outputs['bbox_pred'][index], max_shape=(64, 64)
        )
        scores = outputs['cls_score'][index].softmax(-1)[:, 0]
        rows += [
            (score, box, index)
            for score, box in zip(scores.tolist(), boxes.tolist())
            if score > head.test_cfg.score_thr
        ]
    kept = []
    for row in sorted(rows, reverse=True):
        if all(iou(row[1], other[1]) <= 0.5 for other in kept):
            kept.append(row)
    return kept[: head.test_cfg.max_per_img]


def assert_same(result, rows, scale=1):
    assert result.expert.tolist() == [expert for _, _, expert in rows]
    torch.testing.assert_close(result.scores, torch.tensor([score for score, _, _ in rows]))
    boxes = torch.tensor([box for _, box, _ in rows]) / scale
    torch.testing.assert_close(result.bboxes, boxes)


@pytest.mark.parametrize('experts', [None, ['deeplesion'], ['lits', 'luna16']])
@torch.no_grad()
def test_detections_of_chosen_experts_are_pooled_by_one_nms(experts):
    head, proposals = make_head(experts=experts), make_proposals()
    (result,) = head.predict(features(), [proposals], [make_sample()])
    rows = plain_detections(head, features(), proposals, experts or NAMES)
    assert len(rows) > 3
    assert_same(result, rows)
    assert not result.labels.any()


@torch.no_grad()
def test_experts_own_detections_are_kept_by_option():
    proposals = [make_proposals(), make_proposals(seed=1)]
    samples = [make_sample(), make_sample()]
    head = make_head(keep_experts=True, experts=['luna16'])
    results = head.predict(features(2), proposals, samples, rescale=True)
    for image, (result, sample) in enumerate(zip(results, samples)):
        x = (features(2)[0][image : image + 1],)
        assert_same(result, plain_detections(head, x, proposals[image], ['luna16']), scale=2)
        for index, name in enumerate(NAMES):
            own = sample.expert_instances[sample.expert_instances.expert == index]
            assert_same(own, plain_detections(head, x, proposals[image], [name]), scale=2)
    samples = [make_sample()]
    make_head().predict(features(), proposals[:1], samples)
    assert 'expert_instances' not in samples[0]


@torch.no_grad()
def test_images_without_proposals_or_detections():
    head = make_head(keep_experts=True)
    nothing = InstanceData(bboxes=torch.zeros(0, 4))
    samples = [make_sample(), make_sample()]
    none, some = head.predict(features(2), [nothing, make_proposals()], samples)
    assert len(none) == 0 and len(some) > 0 and none.expert.dtype == torch.long
    (result,) = head.predict(features(), [nothing], [make_sample()])
    assert len(result) == 0 and result.bboxes.shape == (0, 4)
    strict = make_head(score_thr=1.0)
    assert len(strict.predict(features(), [make_proposals()], [make_sample()])[0]) == 0


@pytest.mark.parametrize('name', NAMES)
def test_the_batchs_expert_alone_is_trained(name):
    head = make_head()
    losses = head.loss(features(), [make_proposals()], [make_sample(name)])
    (losses['loss_cls'] + losses['loss_bbox']).backward()
    for expert, layers in head.bbox_head.items():
        trained = [parameter.grad is not None for parameter in layers.parameters()]
        assert all(trained) if expert == name else not any(trained)
    assert all(parameter.grad is not None for parameter in head.shared_head.parameters())


def test_losses_by_hand():
    head = make_head()
    for expert in head.bbox_head.values():
        for parameter in expert.parameters():
            torch.nn.init.zeros_(parameter)
    proposals = make_proposals([8, 8, 24, 28], [40, 40, 56, 56], [0, 40, 16, 56], [40, 0, 56, 16])
    losses = head.loss(features(), [proposals], [make_sample()])
    assert losses['loss_cls'].item() == pytest.approx(math.log(2))
    # the first is 20 px high, its lesion 16 px and 2 px above: deltas by mmdet's deviations
    deltas = [2 / 20 / 0.1, -math.log(16 / 20) / 0.2]
    smooth = [d - 0.5 if d >= 1 else d * d / 2 for d in deltas]
    assert losses['loss_bbox'].item() == pytest.approx(10 * sum(smooth) / 4)


def test_regions_of_all_processes_weigh_the_same(monkeypatch):
    args = features(), [make_proposals()], [make_sample()]
    alone = make_head().loss(*args)
    # 40 regions here and 120 in another process: 80 a process
    monkeypatch.setattr(module, 'reduce_mean', lambda number: number + 40)
    shared = make_head().loss(*args)
    for name in ('loss_cls', 'loss_bbox'):
        torch.testing.assert_close(shared[name], alone[name] / 2)
    assert torch.equal(shared['acc'], alone['acc'])


def test_proposals_in_uncertain_regions_are_left_out(monkeypatch):
    head, seen = make_head(), []
    forward = head._bbox_forward
    monkeypatch.setattr(
        head,
        '_bbox_forward',
        lambda x, rois, experts: seen.append(rois) or forward(x, rois, experts),
    )
    proposals = make_proposals([0, 0, 10, 10], [40, 40, 56, 56])
    head.loss(features(), [proposals], [make_sample(boxes=(), uncertain=[[0, 0, 12, 12]])])
    assert seen[0].tolist() == [[0, 40, 40, 56, 56]]


@pytest.mark.parametrize('experts', [['chest'], []])
def test_unknown_experts_are_refused(experts):
    with pytest.raises(UserError, match='name some of the datasets deeplesion, luna16, lits'):
        make_head(experts=experts)


def test_forward_gives_all_experts():
    scores, deltas = make_head().forward(features(), [make_proposals()])
    assert scores.shape == (3, 40, 2) and deltas.shape == (3, 40, 4)
