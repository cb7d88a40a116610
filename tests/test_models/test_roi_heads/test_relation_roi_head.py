from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401

CONFIG = Path(__file__).parents[3] / 'configs/_base_/models/faster-rcnn_r18_fpn_small.py'
ALB = dict(type='ALBEncoder', channels=8)
FC = dict(type='FCEncoder')
TRANSFER = dict(type='RelationTransferModule')


def roi_head_options(encoder, transfer):
    bbox_head = dict(type='RelationBBoxHead', encoder=encoder, relation_transfer=transfer)
    return dict(type='RelationRoIHead', bbox_head=bbox_head)


def build(encoder=ALB, transfer=TRANSFER, num_classes=1):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(dict(model=dict(roi_head=roi_head_options(encoder, transfer))))
    cfg.model.roi_head.bbox_head.num_classes = num_classes
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def make_data(boxes, size=64):
    """A batch of one image for each list of boxes, the labels 0, 1, ..."""
    torch.manual_seed(1)
    samples = []
    for image_boxes in boxes:
        sample = DetDataSample(
            metainfo=dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1, 1))
        )
        image_boxes = torch.tensor(image_boxes, dtype=torch.float).view(-1, 4)
        labels = torch.arange(len(image_boxes))
        sample.gt_instances = InstanceData(bboxes=image_boxes, labels=labels)
        samples.append(sample)
    images = [torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in boxes]
    return dict(inputs=images, data_samples=samples)


def proposals(*boxes):
    boxes = [torch.tensor(image, dtype=torch.float).view(-1, 4) for image in boxes]
    return [InstanceData(bboxes=image) for image in boxes]


ONE_LESION, TWO_LESIONS = [[8, 8, 30, 28]], [[4, 4, 20, 24], [30, 30, 60, 50]]


@pytest.mark.parametrize('encoder', [ALB, FC])
@pytest.mark.parametrize('transfer, num_classes', [(TRANSFER, 1), (TRANSFER, 8), (None, 8)])
def test_training_step_and_prediction(encoder, transfer, num_classes):
    model = build(encoder, transfer, num_classes).train()
    data = make_data([ONE_LESION, ONE_LESION if num_classes == 1 else TWO_LESIONS])
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert ('loss_binary' in losses) == (transfer is not None)
    loss, logged = model.parse_losses(losses)
    assert all(torch.isfinite(value).all() for value in logged.values())
    loss.backward()
    # none is left out, which distributed training would not bear
    assert all(parameter.grad is not None for parameter in model.roi_head.parameters())
    before = model.roi_head.bbox_head.fc_cls.weight.clone()
    model.train_step(data, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01)))
    assert not torch.equal(model.roi_head.bbox_head.fc_cls.weight, before)
    model.eval()
    for result in model.test_step(data):
        found = result.pred_instances
        assert found.bboxes.shape == (len(found), 4)
        assert 0 < len(found) <= 100
        assert set(found.labels.tolist()) <= set(range(num_classes))


def test_losses_fall_over_a_few_steps():
    model = build(num_classes=8).train()
    data = make_data([ONE_LESION, TWO_LESIONS])
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    history = [model.train_step(data, optim_wrapper) for _ in range(8)]
    for name in ('loss_cls', 'loss_binary'):
        assert history[-1][name] < 0.8 * history[0][name]


def test_relations_of_each_image():
    model = build().eval()
    head = model.roi_head
    torch.manual_seed(0)
    x = tuple(torch.randn(3, 64, size, size) for size in (16, 8, 4, 2, 1))
    rois = torch.tensor([[0.0, 8, 8, 30, 28], [0, 4, 4, 20, 24], [2, 30, 30, 60, 50]])
    results = head._bbox_forward(x, rois)
    assert [relation.shape for relation in results['relations']] == [(2, 2), (0, 0), (1, 1)]
    torch.testing.assert_close(results['relations'][0].sum(1), torch.ones(2))
    assert results['bbox_feats'].shape == (3, 64, 7, 7)
    # alone an image gives what it gives in a batch
    alone = head._bbox_forward(tuple(level[:1] for level in x), rois[:2])
    for name in ('cls_score', 'bbox_pred', 'binary_score'):
        torch.testing.assert_close(results[name][:2], alone[name])


@pytest.mark.parametrize('encoder', [ALB, FC])
@pytest.mark.parametrize('boxes', [([], []), ([], ONE_LESION)])
def test_images_without_proposals(encoder, boxes):
    model = build(encoder)
    data = model.data_preprocessor(make_data(boxes))
    x = model.extract_feat(data['inputs'])
    # in training, where a lesion itself is the only region
    losses = model.roi_head.loss(x, proposals([], []), data['data_samples'])
    assert all(torch.isfinite(value).all() for value in losses.values())
    sum(value.sum() for name, value in losses.items() if 'loss' in name).backward()
    results = model.eval().roi_head.predict(x, proposals(*boxes), data['data_samples'])
    assert [len(result) > 0 for result in results] == [len(image) > 0 for image in boxes]


STOCK = dict(
    trpn=dict(rpn_head=dict(type='TruncatedRPNHead')),
    alb=dict(roi_head=roi_head_options(dict(type='ALBEncoder'), None)),
    rtm=dict(roi_head=roi_head_options(FC, TRANSFER)),
    elixirnet=dict(
        rpn_head=dict(type='TruncatedRPNHead', anchor_generator=dict(scales=[2, 3, 4, 6, 12])),
        roi_head=roi_head_options(dict(type='ALBEncoder'), TRANSFER),
    ),
)


@pytest.mark.parametrize('part', STOCK)
def test_parts_in_mmdets_stock_config(part):
    cfg = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    cfg.merge_from_dict(dict(model=dict(STOCK[part], backbone=dict(init_cfg=None))))
    model = MODELS.build(cfg.model).eval()
    if part == 'elixirnet':  # with 80 classes; the paper has 28.4 M with one
        assert sum(parameter.numel() for parameter in model.parameters()) < 28.4e6
    results = model.test_step(make_data([ONE_LESION]))
    assert results[0].pred_instances.bboxes.shape[1] == 4
