import math
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from torch import nn

from mmlesion.models import AnchorFreeProposalHead

MODELS_DIR = Path(__file__).parents[3] / 'configs/_base_/models'
META = dict(img_shape=(32, 32), ori_shape=(32, 32), scale_factor=(1, 1))
TEST_CFG = ConfigDict(
    nms_pre=100, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
)
LN2 = math.log(2)


def make_head(**options):
    torch.manual_seed(0)
    return AnchorFreeProposalHead(in_channels=3, feat_channels=6, test_cfg=TEST_CFG, **options)


def instances(*boxes):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )


def targets(truth, ignored=None, **options):
    """Labels, weights (8, 8) and boxes (8, 8, 4) of locations at 2, 6, ... 30 px in y and x."""
    head = make_head(**options)
    points = head._priors([torch.zeros(1, 1, 8, 8)])[:, :2]
    assert points[9].tolist() == [6, 6]
    labels, weights, boxes = head.get_targets(truth, ignored, points)
    return labels.view(8, 8), weights.view(8, 8), boxes.view(8, 8, 4)


def places(mask):
    return [tuple(place) for place in mask.nonzero().tolist()]


def test_middle_ring_and_background():
    # the center is (18, 18), the fourth location; the middle reaches 2 px from it, the ring 5 px
    labels, weights, boxes = targets(instances([8, 8, 28, 28]))
    assert places(labels == 0) == [(4, 4)]
    ring = [(y, x) for y in (3, 4, 5) for x in (3, 4, 5) if (y, x) != (4, 4)]
    assert places(weights == 0) == ring
    assert boxes[4, 4].tolist() == [8, 8, 28, 28]
    assert boxes.sum() == 72


def test_a_wide_box_has_a_wide_middle():
    # middle 20 +- 4 by 10 +- 2 px, ring 20 +- 10 by 10 +- 5 px
    labels, weights, _ = targets(instances([0, 0, 40, 20]))
    assert places(labels == 0) == [(2, 4), (2, 5)]
    assert places(weights == 0) == [
        (y, x) for y in (1, 2, 3) for x in range(2, 8) if (y, x) not in [(2, 4), (2, 5)]
    ]


def test_ratios_are_options():
    labels, weights, _ = targets(instances([8, 8, 28, 28]), center_ratio=0.5, ignore_ratio=0.5)
    assert (labels == 0).sum() == 9 and weights.all()


def test_a_small_lesion_has_the_location_nearest_to_its_center():
    labels, weights, _ = targets(instances([4, 12, 11, 19]))  # center (7.5, 15.5), middle 0.7 px
    assert places(labels == 0) == [(3, 1)]
    assert weights.all()


def test_of_overlapping_middles_the_smaller_lesion_wins():
    # both centers are (18, 18); the smaller one's middle reaches 2 px, the other's 6 px
    large, small = [-12, -12, 48, 48], [8, 8, 28, 28]
    for truth in (instances(large, small), instances(small, large)):
        labels, weights, boxes = targets(truth)
        block = [(y, x) for y in (3, 4, 5) for x in (3, 4, 5)]
        assert places(labels == 0) == block
        assert boxes[4, 4].tolist() == small
        assert all(boxes[place].tolist() == large for place in block if place != (4, 4))
        # the ring of the small one is not ignored where it is the middle of the large one
        assert all(weights[place] for place in block)


def test_an_uncertain_lesion_is_ignored_whole():
    labels, weights, _ = targets(instances(), instances([8, 8, 20, 16]))
    assert labels.all()
    assert places(weights == 0) == [(y, x) for y in (2, 3) for x in (2, 3, 4)]
    labels, weights, _ = targets(instances([0, 0, 10, 10]), instances([20, 20, 32, 32]))
    assert places(labels == 0) == [(1, 1)]
    assert (weights == 0).sum() == 9


def test_without_lesions_all_is_background():
    for ignored in (None, instances()):
        labels, weights, _ = targets(instances(), ignored)
        assert labels.all() and weights.all()


def test_equals_a_plain_loop():
    torch.manual_seed(0)
    corners = torch.rand(20, 2) * 24
    boxes = torch.cat([corners, corners + 3 + torch.rand(20, 2) * 24], 1)
    truth, uncertain = instances(*boxes[:14].tolist()), instances(*boxes[14:].tolist())
    labels, weights, matched = targets(truth, uncertain)

    def offset(box, y, x):
        return abs(x - (box[0] + box[2]) / 2), abs(y - (box[1] + box[3]) / 2)

    def within(box, y, x, ratio):
        dx, dy = offset(box, y, x)
        return dx <= ratio / 2 * (box[2] - box[0]) and dy <= ratio / 2 * (box[3] - box[1])

    locations = [(4 * i + 2, 4 * j + 2) for i in range(8) for j in range(8)]
    nearest = [
        min(locations, key=lambda p: sum(d * d for d in offset(box, *p))) for box in truth.bboxes
    ]
    for y, x in locations:
        owners = [
            ((box[2] - box[0]) * (box[3] - box[1]), box)
            for box, near in zip(truth.bboxes, nearest)
            if within(box, y, x, 0.2) or near == (y, x)
        ]
        ignored = any(within(box, y, x, 0.5) for box in truth.bboxes) or any(
            within(box, y, x, 1) for box in uncertain.bboxes
        )
        place = y // 4, x // 4
        assert (labels[place] == 0) == bool(owners)
        assert weights[place] == (bool(owners) or not ignored)
        if owners:
            assert torch.equal(matched[place], min(owners, key=lambda owner: owner[0])[1])


def test_losses_by_hand():
    head = make_head()
    centerness, sizes = [torch.zeros(1, 1, 8, 8)], [torch.zeros(1, 4, 8, 8)]
    losses = head.loss_by_feat(centerness, sizes, [instances([8, 8, 28, 28])], [META])
    # probability one half: one positive, 55 negatives, 8 ignored
    expected = 0.5**2 * LN2 * (0.25 + 55 * 0.75)
    assert losses['loss_rpn_cls'].item() == pytest.approx(expected, rel=1e-5)
    # four borders are 10 px, 2.5 strides, away
    assert losses['loss_rpn_bbox'].item() == pytest.approx(0.1 * 4 * 2.5)


def test_losses_are_means_over_positives_of_all_images():
    head = make_head()
    centerness, sizes = [torch.zeros(2, 1, 8, 8)], [torch.full((2, 4, 8, 8), 6.0)]
    truths = [instances([8, 8, 28, 28]), instances()]
    losses = head.loss_by_feat(centerness, sizes, truths, [META] * 2, [None, None])
    assert losses['loss_rpn_cls'].item() == pytest.approx(
        0.25 * LN2 * (0.25 + (55 + 64) * 0.75), rel=1e-5
    )
    assert losses['loss_rpn_bbox'].item() == pytest.approx(0.1 * 4 * 1.0)


def test_no_lesion_at_all_has_no_box_loss():
    head = make_head()
    outs = head((torch.randn(1, 3, 8, 8),))
    losses = head.loss_by_feat(*outs, [instances()], [META])
    assert losses['loss_rpn_bbox'] == 0 and losses['loss_rpn_cls'] > 0
    sum(losses.values()).backward()


def test_forward_is_two_convolutions_with_a_relu_a_branch():
    head = make_head()
    x = torch.randn(1, 3, 8, 8)
    (centerness,), (sizes,) = head((x,))
    hidden = head.size_conv(x).clamp(min=0)
    torch.testing.assert_close(sizes, 4 * head.size_out(hidden))
    torch.testing.assert_close(centerness, head.center_out(head.center_conv(x).clamp(min=0)))


def test_it_begins_with_unlikely_boxes_of_32_px():
    head = make_head()
    head.init_weights()
    (centerness,), (sizes,) = head((torch.zeros(1, 3, 8, 8),))
    torch.testing.assert_close(sizes, torch.full_like(sizes, 16.0))
    torch.testing.assert_close(centerness.sigmoid(), torch.full_like(centerness, 0.01))


def test_decoding():
    head = make_head()
    centerness, sizes = torch.full((1, 1, 8, 8), -9.0), torch.full((1, 4, 8, 8), -1.0)
    centerness[0, 0, 4, 3], sizes[0, :, 4, 3] = 2.0, torch.tensor([4.0, 6.0, 8.0, 10.0])
    centerness[0, 0, 0, 7], sizes[0, :, 0, 7] = 1.0, torch.tensor([5.0, 5.0, 5.0, 5.0])
    (result,) = head.predict_by_feat([centerness], [sizes], batch_img_metas=[META])
    # boxes that are turned inside out are left out, those that leave the image are cut
    assert result.bboxes.tolist() == [[10, 12, 22, 28], [25, 0, 32, 7]]
    torch.testing.assert_close(result.scores, torch.tensor([2.0, 1.0]).sigmoid())


@pytest.mark.parametrize('count', [1, 5, 60, 64, 100, -1])
def test_boxes_at_the_best_locations_are_those_of_all_locations(count):
    """In the corners and on the borders of two images, too."""
    head = make_head()
    head.test_cfg = ConfigDict(TEST_CFG, nms_pre=count)
    nn.init.constant_(head.center_conv.bias, 3.0)  # ReLU leaves no two scores the same
    nn.init.normal_(head.size_out.weight, std=0.1)
    nn.init.constant_(head.size_out.bias, 1.0)
    x = (torch.randn(2, 3, 8, 8),)
    metas = [META, META]
    found = head.predict(x, [DetDataSample(metainfo=META)] * 2)
    wanted = head.predict_by_feat(*head(x), batch_img_metas=metas)
    for result, plain in zip(found, wanted):
        torch.testing.assert_close(result.bboxes, plain.bboxes)
        torch.testing.assert_close(result.scores, plain.scores)
        assert len(result) > 0


@pytest.mark.parametrize('ratios', [(0.0, 0.5), (0.6, 0.5), (0.2, 1.5)])
def test_other_ratios_are_refused(ratios):
    with pytest.raises(ValueError, match='center_ratio <= ignore_ratio'):
        make_head(center_ratio=ratios[0], ignore_ratio=ratios[1])


def test_it_trains_as_the_rpn_of_faster_rcnn():
    torch.manual_seed(0)
    cfg = Config.fromfile(MODELS_DIR / 'faster-rcnn_r18_fpn_small.py').model
    cfg.neck = dict(
        type='SliceFusionFPN', in_channels=[32, 64, 128, 256], out_channels=64, num_groups=1
    )
    cfg.rpn_head = dict(type='AnchorFreeProposalHead', in_channels=64, feat_channels=16)
    cfg.roi_head.bbox_roi_extractor.featmap_strides = [4]
    model = MODELS.build(cfg)
    model.init_weights()
    sample = DetDataSample(metainfo=dict(META, img_shape=(64, 64), ori_shape=(64, 64)))
    sample.gt_instances = instances([20, 20, 44, 44])
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='RAdam', lr=1e-3)))
    before = model.rpn_head.size_out.weight.clone()
    data = dict(inputs=[torch.randint(0, 255, (3, 64, 64))], data_samples=[sample])
    log = model.train().train_step(data, optim_wrapper)
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'} <= set(log)
    assert not torch.equal(model.rpn_head.size_out.weight, before)
    (result,) = model.eval().test_step(data)
    assert len(result.pred_instances.bboxes) == len(result.pred_instances.scores)
