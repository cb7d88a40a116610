import pytest
import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401
from mmlesion.models import TruncatedRPNHead
from mmlesion.utils import UserError

META = dict(img_shape=(32, 32), pad_shape=(32, 32))
TRAIN_CFG = ConfigDict(
    assigner=dict(
        type='MaxIoUAssigner',
        pos_iou_thr=0.7,
        neg_iou_thr=0.3,
        min_pos_iou=0.3,
        ignore_iof_thr=-1,
    ),
    sampler=dict(type='RandomSampler', num=64, pos_fraction=0.5, add_gt_as_proposals=False),
    allowed_border=-1,
    pos_weight=-1,
)
TEST_CFG = ConfigDict(
    nms_pre=100, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
)


# the head as the paper has it
PAPER = dict(normalize_confidence=False, truncate_positives=True, loss_confidence=None)


def make_head(threshold='mean', head=TruncatedRPNHead, scales=(2, 4), ratios=(1.0,), **kwargs):
    """A head of two levels for 32 px images, with feature maps of 8 x 8 and 4 x 4."""
    if head is TruncatedRPNHead:
        kwargs['threshold'] = threshold
    torch.manual_seed(0)
    return head(
        in_channels=4,
        feat_channels=32,
        anchor_generator=dict(
            type='AnchorGenerator', scales=list(scales), ratios=list(ratios), strides=[4, 8]
        ),
        train_cfg=TRAIN_CFG,
        test_cfg=TEST_CFG,
        **kwargs,
    )


def make_features(num_images=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(num_images, 4, side, side, generator=generator) for side in (8, 4))


def make_sample(boxes):
    sample = DetDataSample(metainfo=dict(META))
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.zeros(len(boxes), dtype=torch.long)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    return sample


def total_loss(losses):
    return sum(sum(value) if isinstance(value, list) else value for value in losses.values())


def targets_of(head, confidences, boxes):
    """Label weights and box weights of every anchor, each level's in a row."""
    head_inputs = [torch.zeros(1, 2, *c.shape[-2:]) for c in confidences]
    captured = []
    original = head.loss_by_feat_single

    def capture(*args, **kwargs):
        captured.append((args[4], args[6], kwargs['avg_factor']))
        return original(*args, **kwargs)

    head.loss_by_feat_single = capture
    deltas = [s.repeat(1, 4, 1, 1) for s in head_inputs]
    sample = make_sample(boxes)
    head.loss_by_feat(head_inputs, deltas, confidences, [sample.gt_instances], [sample.metainfo])
    label_weights, box_weights, avg_factors = zip(*captured)
    return label_weights, box_weights, avg_factors[0]


def test_anchors_are_assigned_once_a_step():
    head = make_head()
    calls = []
    original = head.assigner.assign
    head.assigner.assign = lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    head.loss(make_features(), [make_sample([[4, 4, 14, 12]])])
    assert len(calls) == 1


def test_mean_truncates_each_level_and_image_by_its_own_map():
    head = make_head()
    first = torch.tensor([[[0.1, 0.9], [0.5, 0.3]]]).logit()  # mean 0.45
    second = torch.tensor([[[0.8, 0.7], [0.7, 0.4]]]).logit()  # mean 0.65
    keep = head.keep_locations([first, second], dict(img_shape=(16, 16)))
    assert keep[0].tolist() == [False, True, True, False]
    assert keep[1].tolist() == [True, True, True, False]


def test_number_threshold_must_be_exceeded():
    head = make_head(threshold=0.5)
    keep = head.keep_locations([torch.tensor([[[0.5, 0.51]]]).logit()], dict(img_shape=(4, 8)))
    assert keep[0].tolist() == [False, True]


def test_padding_of_the_batch_neither_counts_nor_is_kept():
    head = make_head()
    confidence = torch.tensor([[[0.2, 0.4, 0.99], [0.3, 0.5, 0.99]]]).logit()
    # neither the batch's nor the divisor's, which is in pad_shape
    for pad_shape in ((8, 8), (8, 12)):
        keep = head.keep_locations([confidence], dict(img_shape=(7, 8), pad_shape=pad_shape))
        # mean of the four inside is 0.35
        assert keep[0].tolist() == [False, True, False, False, True, False]


OPTIONS = {
    'default': {},
    'truncated features': dict(truncate_features=True),
    'number': dict(threshold=0.5, truncate_features=True),
    'paper': PAPER,
}


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('fill', [0.0, 9.0])
def test_an_image_is_scored_alone_as_beside_a_larger_one(options, fill):
    head = make_head(**options)
    torch.nn.init.normal_(head.rpn_confidence.weight, std=0.5)
    alone = make_features()
    larger = [torch.randn(1, 4, 2 * side, 3 * side) for side in (8, 4)]
    batch = []
    for small, large in zip(alone, larger):
        padded = torch.full_like(large, fill)  # what a backbone makes of the padding
        padded[..., : small.shape[2], : small.shape[3]] = small
        batch.append(torch.cat([padded, large]))
    small, large = make_sample([[4, 4, 14, 12]]), make_sample([[40, 20, 56, 36]])
    large.set_metainfo(dict(img_shape=(64, 96), pad_shape=(64, 96)))
    beside = head(batch, [small.metainfo, large.metainfo])
    for expected, both in zip(head(alone, [small.metainfo]), beside):
        for level, level_of_both in zip(expected, both):
            own = level_of_both[:1, :, : level.shape[2], : level.shape[3]]
            torch.testing.assert_close(own, level, atol=1e-6, rtol=1e-5)
    # the same through the methods that a detector calls
    expected, other = head.predict(alone, [small]), head.predict(larger, [large])
    _, proposals = head.loss_and_predict(batch, [small, large], TEST_CFG)
    for found in (head.predict(batch, [small, large]), proposals):
        for one, alone_one in zip(found, [*expected, *other]):
            torch.testing.assert_close(one.bboxes, alone_one.bboxes, atol=1e-4, rtol=1e-5)
            torch.testing.assert_close(one.scores, alone_one.scores, atol=1e-6, rtol=1e-5)
            assert len(one) > 5
    both = head.loss(batch, [small, large])
    assert torch.isfinite(total_loss(both))


def test_equation_1_to_the_letter():
    """The RPN sees p * I where p exceeds its mean, and nothing elsewhere."""
    paper = dict(PAPER, truncate_features=True)
    head, features = make_head(**paper), make_features(2)
    cls_scores, bbox_preds, confidences = head(features)
    for x, cls_score, bbox_pred, confidence in zip(features, cls_scores, bbox_preds, confidences):
        p = 1 / (1 + torch.exp(-confidence))
        kept = torch.stack([image > image.mean() for image in p])
        assert 0 < kept.float().mean() < 1
        expected = RPNHead.forward_single(head, torch.where(kept, p * x, torch.zeros(())))
        torch.testing.assert_close((cls_score, bbox_pred), expected)
        # anchors are truncated at the same locations
        keep = head.keep_locations([confidence[0]], META)[0]
        assert torch.equal(keep, kept[0].flatten())


@pytest.mark.parametrize('threshold', ['median', None])
def test_unknown_threshold(threshold):
    with pytest.raises(UserError, match='threshold'):
        make_head(threshold=threshold)


def test_misspelled_option_is_refused():
    with pytest.raises(TypeError, match='treshold'):
        TruncatedRPNHead(in_channels=4, treshold=0.5)


def test_paper_anchors_are_the_default():
    generator = TruncatedRPNHead(in_channels=4).prior_generator
    assert generator.scales.tolist() == [2, 3, 4, 6, 12]
    assert generator.ratios.tolist() == [0.5, 1, 2]


@pytest.mark.parametrize('normalize', [True, False])
def test_forward_is_the_rpn_of_confidence_times_features(normalize):
    head, features = make_head(normalize_confidence=normalize), make_features(2)
    cls_scores, bbox_preds, confidences = head(features)
    for x, cls_score, bbox_pred, confidence in zip(features, cls_scores, bbox_preds, confidences):
        weight, bias = head.rpn_confidence.weight, head.rpn_confidence.bias
        torch.testing.assert_close(confidence, (weight * x).sum(1, keepdim=True) + bias)
        p = 1 / (1 + torch.exp(-confidence))
        mean = torch.stack([image.mean() for image in p]).reshape(2, 1, 1, 1) if normalize else 1
        expected = RPNHead.forward_single(head, x * p / mean)
        torch.testing.assert_close((cls_score, bbox_pred), expected)


def scaled_features(head, features):
    """What the RPN's convolution sees of each level."""
    seen = []
    handle = head.rpn_conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    head(features)
    handle.remove()
    return seen


@pytest.mark.parametrize('bias', [-7.0, 0.0, 7.0])
def test_scaled_features_keep_their_mean_size(bias):
    head = make_head()
    torch.nn.init.constant_(head.rpn_confidence.bias, bias)
    ones = tuple(torch.ones(2, 4, side, side) for side in (8, 4))
    # p varies, and is independent of the channels it scales
    torch.nn.init.zeros_(head.rpn_confidence.weight)
    head.rpn_confidence.weight.data[0, 3] = 1.0
    for level in ones:
        level[:, 3] = torch.linspace(-1, 1, level[0, 3].numel()).reshape(level[0, 3].shape)
    for level in scaled_features(head, ones):
        assert level[:, 0].std() > 0
        torch.testing.assert_close(level[:, :3].mean((2, 3)), torch.ones(2, 3))
    bare = make_head(**PAPER)
    bare.load_state_dict(head.state_dict())
    for level in scaled_features(bare, ones):
        mean = torch.full((2, 3), bias).sigmoid()
        torch.testing.assert_close(level[:, :3].mean((2, 3)), mean, rtol=0.2, atol=0)


def test_the_mean_is_a_constant_to_the_gradient():
    head = make_head()
    logit = torch.tensor([[[[0.0, 1.0], [-1.0, 2.0]]]], requires_grad=True)
    head._feature_scale(logit, torch.ones(1, 1, 2, 2)).sum().backward()
    p = logit.detach().sigmoid()
    # with a mean that is differentiated the gradients would sum to nothing
    torch.testing.assert_close(logit.grad, p * (1 - p) / p.mean())


def test_a_map_of_almost_nothing_stays_finite():
    head = make_head()
    torch.nn.init.constant_(head.rpn_confidence.bias, -200.0)
    assert torch.isfinite(total_loss(head.loss(make_features(), [make_sample([[4, 4, 14, 12]])])))


def test_truncated_locations_have_no_targets():
    head = make_head(threshold=0.5, **PAPER)
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    confidences[0][0, 0, 2, 3] = 9.0
    # the lesion's own anchor, of scale 2 at location (6, 6), is truncated
    label_weights, box_weights, avg_factor = targets_of(head, confidences, [[20, 20, 28, 28]])
    # location (2, 3) is the 19th of 8 x 8, with two anchors each: both negative
    assert label_weights[0][0].nonzero().flatten().tolist() == [38, 39]
    assert label_weights[1].sum() == 0
    assert avg_factor == 3  # mmdet counts at least one positive
    assert box_weights[0].sum() == box_weights[1].sum() == 0


def test_truncated_positives_stay_in_training():
    head = make_head(threshold=0.5)
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    confidences[0][0, 0, 2, 3] = 9.0
    label_weights, box_weights, avg_factor = targets_of(head, confidences, [[20, 20, 28, 28]])
    # beside the negatives of location (2, 3), the lesion's anchor of scale 2 at (6, 6), which lies
    # 54 locations from the first; not that location's other anchor, a truncated negative
    assert label_weights[0][0].nonzero().flatten().tolist() == [38, 39, 108]
    assert box_weights[0][0].sum(-1).nonzero().flatten().tolist() == [108]
    assert label_weights[1].sum() == box_weights[1].sum() == 0
    assert avg_factor == 3


def test_truncated_positives_are_not_proposed():
    head = make_head(threshold=0.5)
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    cls_scores = [torch.full((1, 2, side, side), 9.0) for side in (8, 4)]
    bbox_preds = [torch.zeros(1, 8, side, side) for side in (8, 4)]
    assert len(head.predict_by_feat(cls_scores, bbox_preds, confidences, [META])[0]) == 0


def test_a_kept_location_is_the_positive_of_its_lesion():
    head = make_head(threshold=0.5, **PAPER)
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    confidences[0][0, 0, 2, 3] = 9.0
    # the anchor of scale 2 at x = 3 * 4, y = 2 * 4 is 8 px wide: (8, 4, 16, 12)
    _, box_weights, _ = targets_of(head, confidences, [[8, 4, 16, 12]])
    assert box_weights[0][0].sum(-1).nonzero().flatten().tolist() == [38]


def test_proposals_come_from_kept_locations_only():
    head = make_head(threshold=0.5)
    cls_scores = [torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4)]
    bbox_preds = [torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 4, 4)]
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    confidences[0][0, 0, 4, 4] = 9.0
    cls_scores[0][0, 0, 4, 4], cls_scores[0][0, 1, 4, 4] = 2.0, 1.0
    cls_scores[0][0, :, 0, 0] = 9.0
    results = head.predict_by_feat(cls_scores, bbox_preds, confidences, [META])[0]
    assert results.bboxes.tolist() == [[12, 12, 20, 20], [8, 8, 24, 24]]
    torch.testing.assert_close(results.scores, torch.tensor([2.0, 1.0]).sigmoid())


@pytest.mark.parametrize('seed', range(5))
def test_equals_a_plain_loop_over_masked_scores(seed):
    """Truncated scores at minus infinity and mmdet's own code say the same."""
    head, features = make_head(), make_features(2, seed)
    with torch.no_grad():
        cls_scores, bbox_preds, confidences = head(features)
    fast = head.predict_by_feat(cls_scores, bbox_preds, confidences, [META, META])
    for score, confidence in zip(cls_scores, confidences):
        for image in range(2):
            for row in range(score.shape[2]):
                for column in range(score.shape[3]):
                    p = confidence[image, 0].sigmoid()
                    if p[row, column] <= p.mean():
                        score[image, :, row, column] = -torch.inf
    plain = RPNHead.predict_by_feat
    head.keep_locations = lambda maps, meta: [torch.ones(m.numel(), dtype=torch.bool) for m in maps]
    slow = plain(head, cls_scores, bbox_preds, confidences, [META, META])
    for a, b in zip(fast, slow):
        b = b[b.scores > 0]
        torch.testing.assert_close(a.bboxes, b.bboxes)
        torch.testing.assert_close(a.scores, b.scores)
        assert len(a) > 5


def test_equals_rpn_head_when_everything_is_kept():
    truncated, plain = make_head(threshold=-1, loss_confidence=None), make_head(head=RPNHead)
    plain.load_state_dict(truncated.state_dict(), strict=False)
    torch.nn.init.zeros_(truncated.rpn_confidence.weight)
    torch.nn.init.constant_(truncated.rpn_confidence.bias, 100.0)  # p is exactly 1
    features, samples = make_features(2), [make_sample([[4, 4, 14, 12]]), make_sample([])]
    for a, b in zip(truncated.predict(features, samples), plain.predict(features, samples)):
        assert torch.equal(a.bboxes, b.bboxes) and torch.equal(a.scores, b.scores)
        assert len(a) > 5
    losses = []
    for head in (truncated, plain):
        torch.manual_seed(0)
        losses.append(head.loss(features, samples))
    assert losses[0] == losses[1]


def test_a_lone_score_of_a_level():
    head = make_head(threshold=0.5, scales=[2])
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    confidences[0][0, 0, 4, 4] = confidences[1][0, 0, 1, 1] = 9.0
    cls_scores = [torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 4, 4)]
    bbox_preds = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 4, 4)]
    results = head.predict_by_feat(cls_scores, bbox_preds, confidences, [META])[0]
    assert results.bboxes.tolist() == [[12, 12, 20, 20], [0, 0, 16, 16]]


@pytest.mark.parametrize('threshold', ['mean', 2.0])
@pytest.mark.parametrize('boxes', [[[4, 4, 14, 12]], []])
def test_training_goes_on_when_nothing_survives(threshold, boxes):
    head = make_head(threshold=threshold, **PAPER)
    torch.nn.init.zeros_(head.rpn_confidence.weight)  # a constant map: none exceeds its mean
    losses, proposals = head.loss_and_predict(make_features(), [make_sample(boxes)], TEST_CFG)
    total = sum(sum(values) for values in losses.values())
    assert total.item() == 0
    total.backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
    assert proposals[0].bboxes.shape == (0, 4)


def test_positives_are_trained_where_nothing_survives():
    head = make_head(threshold=2.0)
    losses, proposals = head.loss_and_predict(
        make_features(), [make_sample([[4, 4, 14, 12]])], TEST_CFG
    )
    assert sum(losses['loss_rpn_cls']) > 0 and losses['loss_rpn_confidence'] > 0
    assert proposals[0].bboxes.shape == (0, 4)


def test_an_empty_image_adds_nothing_to_the_loss_of_the_other():
    head, features = make_head(**PAPER), make_features(2)
    features = tuple(torch.cat([x[:1], torch.zeros_like(x[:1])]) for x in features)
    samples = [make_sample([[4, 4, 14, 12]]), make_sample([[4, 4, 14, 12]])]
    torch.manual_seed(0)
    both = head.loss(features, samples)
    torch.manual_seed(0)
    first = head.loss(tuple(x[:1] for x in features), samples[:1])
    # 64 samples; mmdet divides by at least one positive and one negative of every image
    for key in both:
        torch.testing.assert_close(sum(both[key]), sum(first[key]) * 64 / 66)


def test_confidence_learns_through_the_rpn():
    head = make_head(loss_confidence=None)
    losses = head.loss(make_features(), [make_sample([[4, 4, 14, 12]])])
    sum(sum(values) for values in losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    assert head.rpn_confidence.weight.grad.abs().sum() > 0


def confidence_loss(head, confidences, *boxes):
    """The loss of p for maps (N, 1, H, W) of both levels, and each image's boxes."""
    samples = [make_sample(each) for each in boxes]
    truth = [[s.gt_instances for s in samples], [s.metainfo for s in samples]]
    scores = [torch.zeros(len(boxes), 2, side, side) for side in (8, 4)]
    deltas = [torch.zeros(len(boxes), 8, side, side) for side in (8, 4)]
    return head.loss_by_feat(scores, deltas, confidences, *truth)['loss_rpn_confidence']


def test_confidence_loss_is_balanced_and_sees_truncated_lesions():
    head = make_head(threshold=0.5)
    confidences = [torch.full((1, 1, side, side), -9.0) for side in (8, 4)]
    for confidence in confidences:
        confidence.requires_grad_()
    loss = confidence_loss(head, confidences, [[20, 20, 28, 28]])
    loss.backward()
    # the anchor of scale 2 at location (6, 6) is the lesion's box; all others overlap it less
    assert (confidences[0].grad[0, 0] < 0).nonzero().tolist() == [[6, 6]]
    assert not (confidences[1].grad < 0).any()
    # -log sigmoid(-9) on the one positive location, -log(1 - sigmoid(-9)) on all others
    logit = torch.tensor(9.0)
    expected = 0.5 * (1 + logit.neg().exp()).log() + 0.5 * (1 + logit.exp()).log()
    torch.testing.assert_close(loss, expected)
    # each half's gradient: sigmoid - target, over its number of locations
    torch.testing.assert_close(confidences[0].grad[0, 0, 6, 6], -0.5 * logit.sigmoid())
    torch.testing.assert_close(confidences[0].grad[0, 0, 0, 0], 0.5 * (-logit).sigmoid() / 79)


def test_confidence_loss_halves_are_of_the_batch():
    confidences = [torch.zeros(2, 1, side, side) for side in (8, 4)]
    confidences[0][0, 0, 6, 6] = confidences[0][1, 0, 2, 3] = 2.0
    boxes = [[20, 20, 28, 28]], [[8, 4, 16, 12], [20, 20, 28, 28]]
    positives = torch.tensor([2.0, 2.0, 0.0])  # the last is (6, 6) of the second image
    expected = 0.5 * torch.log1p((-positives).exp()).mean() + 0.5 * torch.tensor(2.0).log()
    torch.testing.assert_close(confidence_loss(make_head(), confidences, *boxes), expected)


def test_locations_without_background_have_no_confidence_loss():
    """An anchor that overlaps a lesion by 0.3 to 0.7 is neither positive nor background."""
    head = make_head(scales=[2])
    confidences = [torch.zeros(1, 1, side, side, requires_grad=True) for side in (8, 4)]
    scores = [torch.zeros(1, 1, side, side) for side in (8, 4)]
    deltas = [torch.zeros(1, 4, side, side) for side in (8, 4)]
    truth = make_sample([[20, 20, 28, 28]])
    losses = head.loss_by_feat(scores, deltas, confidences, [truth.gt_instances], [truth.metainfo])
    losses['loss_rpn_confidence'].backward()
    # anchors of 8 px that lie 4 px aside have an IoU of 32 / 96
    unused = (confidences[0].grad[0, 0] == 0).nonzero().tolist()
    assert unused == [[5, 6], [6, 5], [6, 7], [7, 6]]


def test_confidence_loss_without_lesions():
    confidences = [torch.zeros(1, 1, side, side) for side in (8, 4)]
    loss = confidence_loss(make_head(), confidences, [])
    torch.testing.assert_close(loss, 0.5 * torch.tensor(2.0).log())


def test_the_papers_head_has_no_confidence_loss():
    losses = make_head(**PAPER).loss(make_features(), [make_sample([[4, 4, 14, 12]])])
    assert set(losses) == {'loss_rpn_cls', 'loss_rpn_bbox'}


def test_confidence_of_a_lesion_rises_in_training():
    """With the paper's head it falls: nothing asks it to be high."""
    head = make_head()
    features, samples = make_features(), [make_sample([[20, 20, 28, 28]])]
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(50):
        total = total_loss(head.loss(features, samples))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    p = head(features)[2][0][0, 0].sigmoid()
    assert p[6, 6] > p.mean()


def test_half_precision():
    head = make_head().bfloat16()
    features = tuple(x.bfloat16() for x in make_features())
    losses = head.loss(features, [make_sample([[4, 4, 14, 12]])])
    assert torch.isfinite(losses.pop('loss_rpn_confidence'))
    assert all(torch.isfinite(value) for values in losses.values() for value in values)


def test_mmdet_config_with_the_type_alone():
    cfg = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model
    cfg.backbone.init_cfg = None
    cfg.rpn_head.type = 'TruncatedRPNHead'
    init_default_scope('mmdet')
    detector = MODELS.build(cfg)
    assert isinstance(detector.rpn_head, TruncatedRPNHead)
    assert detector.rpn_head.num_base_priors == 3


@pytest.mark.parametrize('options', [{}, PAPER])
def test_a_few_steps_lower_the_loss(options):
    head = make_head(**options)
    features, samples = make_features(2), [make_sample([[4, 4, 14, 12]]), make_sample([])]
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    history = []
    for _ in range(20):
        torch.manual_seed(0)
        total = total_loss(head.loss(features, samples))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    assert history[-1] < 0.8 * history[0]
