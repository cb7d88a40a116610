import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from mmlesion.models import LesionSegHead
from mmlesion.models.seg_heads.lesion_seg_head import check_strides
from mmlesion.utils import UserError


def make_head(**options):
    torch.manual_seed(0)
    head = LesionSegHead(in_channels=8, c1_channels=4, feat_channels=(6, 5), **options)
    head.init_weights()
    return head


def make_features(size=32, batch=2):
    torch.manual_seed(1)
    return (
        torch.randn(batch, 3, size, size),
        torch.randn(batch, 4, size // 2, size // 2),
        torch.randn(batch, 8, size // 4, size // 4),
    )


def make_sample(target):
    return DetDataSample(gt_sem_seg=PixelData(sem_seg=target[None].to(torch.uint8)))


def make_target(size=32):
    target = torch.zeros(size, size)
    target[4:8, 4:10] = 1
    target[20:28, 16:30] = 255
    return target


def test_both_steps_upsample_and_add_their_skip():
    head, (image, c1, p2) = make_head(), make_features()
    p1 = head.to_p1.reduce(p2).repeat_interleave(2, 2).repeat_interleave(2, 3) + head.c1_skip(c1)
    p1 = F.relu(F.conv2d(p1, head.to_p1.conv.conv.weight, head.to_p1.conv.conv.bias, padding=1))
    skip = image
    for module in head.image_skip:
        skip = F.relu(F.conv2d(skip, module.conv.weight, module.conv.bias, padding=1))
    p0 = head.to_image.reduce(p1).repeat_interleave(2, 2).repeat_interleave(2, 3) + skip
    p0 = F.relu(
        F.conv2d(p0, head.to_image.conv.conv.weight, head.to_image.conv.conv.bias, padding=1)
    )
    outs = head((image, c1, p2))
    torch.testing.assert_close(outs['feats'], p0)
    torch.testing.assert_close(outs['seg_preds'], head.segmentation(p0))
    assert outs['seg_preds'].shape == (2, 1, 32, 32)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_strides_are_checked_in_a_trace():
    def check(image):
        check_strides(image, image[..., ::2, ::2], image[..., ::4, ::4])
        return image + 1

    traced = torch.jit.trace(check, torch.zeros(1, 3, 32, 32))
    assert traced(torch.ones(1, 3, 64, 64)).eq(2).all()


def test_open_gates_change_nothing():
    plain, gated = make_head(), make_head(attention=True)
    gated.load_state_dict(plain.state_dict(), strict=False)
    for step in (gated.to_p1, gated.to_image):
        torch.nn.init.zeros_(step.gate.map_conv.weight)
        torch.nn.init.constant_(step.gate.map_conv.bias, 100.0)
    features = make_features()
    assert torch.equal(gated(features)['seg_preds'], plain(features)['seg_preds'])
    torch.nn.init.constant_(gated.to_image.gate.map_conv.bias, 0.0)
    assert not torch.equal(gated(features)['seg_preds'], plain(features)['seg_preds'])


def test_starts_from_a_rare_lesion():
    probability = make_head().predict(make_features(), [dict(batch_input_shape=(32, 32))] * 2)
    assert 0.005 < torch.stack(probability).mean() < 0.02


def logits_and_loss(head, monkeypatch, logits, target):
    monkeypatch.setattr(head, 'forward', lambda x: dict(seg_preds=logits))
    return head.loss(None, [make_sample(one) for one in target])['loss_seg']


def test_known_loss(monkeypatch):
    """Focal cross-entropy of every known px by hand, over the number of lesion px."""
    target = torch.stack([make_target(), torch.zeros(32, 32)])
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 32, 32)
    loss = logits_and_loss(make_head(), monkeypatch, logits, target)
    p, total = logits.sigmoid()[:, 0], 0.0
    for n, y, x in torch.nonzero(target != 255).tolist():
        right = p[n, y, x] if target[n, y, x] == 1 else 1 - p[n, y, x]
        total += -0.5 * (1 - right) ** 2 * right.log()
    assert loss.item() == pytest.approx(total.item() / 24, rel=1e-4)


def test_unmasked_lesions_and_padding_have_no_gradient(monkeypatch):
    target = torch.stack([make_target(), torch.full((32, 32), 255.0)])
    logits = torch.randn(2, 1, 32, 32, requires_grad=True)
    loss = logits_and_loss(make_head(), monkeypatch, logits, target)
    loss.backward()
    ignored = target[:, None] == 255
    assert (logits.grad[ignored] == 0).all() and (logits.grad[~ignored] != 0).all()
    # nor has what is predicted there any influence on the loss
    changed = logits.detach().clone()
    changed[ignored] = 50.0
    assert torch.equal(logits_and_loss(make_head(), monkeypatch, changed, target), loss)


def test_a_batch_without_any_mask(monkeypatch):
    logits = torch.zeros(1, 1, 32, 32, requires_grad=True)
    nothing = logits_and_loss(make_head(), monkeypatch, logits, torch.full((1, 32, 32), 255.0))
    assert nothing.item() == 0
    background = logits_and_loss(make_head(), monkeypatch, logits, torch.zeros(1, 32, 32))
    # p is 0.5 everywhere: 1024 px of 0.5 * 0.5 ** 2 * log 2; a 4000th of 1024 px is less than one
    assert background.item() == pytest.approx(1024 * 0.125 * 0.693147, rel=1e-4)
    wide = torch.zeros(1, 1, 128, 128, requires_grad=True)
    background = logits_and_loss(make_head(), monkeypatch, wide, torch.zeros(1, 128, 128))
    assert background.item() == pytest.approx(4000 * 0.125 * 0.693147, rel=1e-4)


def test_small_lesions_count_in_full(monkeypatch):
    """Four images with a lesion of 10 px diameter each, and a probability of 0.5 in it."""
    y, x = torch.meshgrid(torch.arange(512), torch.arange(512), indexing='ij')
    target = ((x - 100.5).square() + (y - 200.5).square() < 25).float().expand(4, 512, 512)
    logits = torch.where(target == 1, 0.0, -60.0)[:, None]
    loss = logits_and_loss(make_head(), monkeypatch, logits, target)
    assert loss.item() == pytest.approx(0.125 * 0.693147, rel=1e-3)


def test_predict_goes_back_to_the_original_size(monkeypatch):
    head = make_head()
    logits = torch.zeros(1, 1, 32, 32)
    logits[..., 24:] = 40.0  # padding on the right of an image of 24 px
    monkeypatch.setattr(head, 'forward', lambda x: dict(seg_preds=logits))
    meta = dict(batch_input_shape=(32, 32), img_shape=(32, 24), ori_shape=(64, 48))
    (probability,) = head.predict(None, [meta], rescale=True)
    assert torch.equal(probability, torch.full((1, 64, 48), 0.5))
    assert head.predict(None, [meta])[0].shape == (1, 32, 32)


def test_says_where_masks_are_missing():
    with pytest.raises(UserError, match='LesionMasksToSegMap'):
        make_head().loss(make_features(), [DetDataSample(), DetDataSample()])


def test_learns_a_mask():
    head, features = make_head(attention=True), make_features()
    target = (features[0][:, 0] > 1).float()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    history = []
    for _ in range(30):
        loss = head.loss(features, [make_sample(one) for one in target])['loss_seg']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.5 * history[0]
