import numpy as np
import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

from mmlesion.utils import UserError

CONFIG = dict(
    type='ProposalClassifier3D',
    data_preprocessor=dict(type='VolumeDataPreprocessor', pad_size_divisor=1),
    backbone=dict(type='InflatedResNet3D', base_channels=4),
    in_channels=[4, 8, 16, 32],
    roi_size=2,
    fc_out_channels=16,
)
BOX = [2.0, 20, 24, 5, 40, 36]  # z1, y1, x1, z2, y2, x2


def samples_of(labels, boxes=None, scores=None):
    return [
        DetDataSample(
            metainfo=dict(
                patch_box=(boxes or [BOX] * len(labels))[i],
                proposal_label=label,
                proposal_box=[10.1 + i, 20, 3, 30, 40, 5],
                proposal_score=(scores or [0.5] * len(labels))[i],
                sub_volume='000001_01_01_001-009',
            )
        )
        for i, label in enumerate(labels)
    ]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MODELS.build(CONFIG)


class Ramps(torch.nn.Module):
    """Levels of strides (1, 4) and (1, 8) whose voxels say z, y and x of their center."""

    def forward(self, x):
        outs = []
        for stride in (4, 8):
            sizes = [x.shape[2], x.shape[3] // stride, x.shape[4] // stride]
            z, y, x_ = np.meshgrid(*(np.arange(size) + 0.5 for size in sizes), indexing='ij')
            ramp = np.stack([z, y * stride, x_ * stride])
            outs.append(torch.tensor(ramp, dtype=torch.float32).expand(len(x), -1, -1, -1, -1))
        return tuple(outs)


def test_regions_are_the_box_and_the_whole_patch(model):
    """Of a linear map a bin's mean is the value at its center."""
    model.backbone = Ramps()
    pooled = []
    model.fc = torch.nn.Module()
    model.fc.forward = lambda x: pooled.append(x) or torch.zeros(len(x), 16)
    model(torch.zeros(2, 1, 9, 64, 64), samples_of([1, 0], boxes=[BOX, [1, 8, 8, 8, 56, 48]]))
    bins = pooled[0].view(2, 6, 2, 2, 2)
    for box, found in zip(([2, 20, 24, 5, 40, 36], [1, 8, 8, 8, 56, 48]), bins):
        sides = [(box[i + 3] - box[i]) / 4 for i in range(3)]
        first = [box[i] + sides[i] for i in range(3)]
        last = [box[i + 3] - sides[i] for i in range(3)]
        torch.testing.assert_close(found[:3, 0, 0, 0], torch.tensor(first))
        torch.testing.assert_close(found[:3, 1, 1, 1], torch.tensor(last))
        # of 9 slices the first 5 and the last 5, of 64 px halves
        torch.testing.assert_close(found[3:, 0, 0, 0], torch.tensor([2.5, 16, 16]))
        torch.testing.assert_close(found[3:, 1, 1, 1], torch.tensor([6.5, 48, 48]))


def test_score_is_the_average_of_both(model):
    """Equation 2."""
    model.eval()
    samples = samples_of([1, 0], scores=[0.9, 0.25])
    volumes = torch.rand(2, 1, 9, 64, 64)
    with torch.no_grad():
        logits = model(volumes, samples)
        predicted = model(volumes, samples, mode='predict')
        model.fc_cls.weight.zero_()
        model.fc_cls.bias.fill_(np.log(0.2 / 0.8))
        fixed = model(volumes, samples_of([1, 0], scores=[0.9, 0.25]), mode='predict')
    for i, score in enumerate((0.9, 0.25)):
        found = predicted[i].pred_instances
        assert found.bboxes.tolist() == [[10.1 + i, 20, 3, 30, 40, 5]]
        assert found.labels.tolist() == [0]
        assert found.scores.item() == pytest.approx((score + logits[i].sigmoid().item()) / 2)
        assert fixed[i].pred_instances.scores.item() == pytest.approx((score + 0.2) / 2)


def test_focal_loss_of_lesion_against_false_positive(model):
    model.eval()
    volumes, samples = torch.rand(3, 1, 9, 64, 64), samples_of([1, 0, 0])
    loss = model(volumes, samples, mode='loss')['loss_cls']
    target = torch.tensor([[1.0], [0], [0]])
    torch.testing.assert_close(loss, py_sigmoid_focal_loss(model(volumes, samples), target))
    with torch.no_grad():
        model.fc_cls.bias += 20
    assert model(volumes, samples_of([1, 1, 1]), mode='loss')['loss_cls'] < 1e-3
    assert model(volumes, samples_of([0, 0, 0]), mode='loss')['loss_cls'] > 5


def test_training_brings_the_loss_down(model):
    generator = torch.Generator().manual_seed(0)
    volumes = torch.randint(-800, 400, (6, 1, 9, 64, 64), generator=generator).short()
    data = dict(inputs=list(volumes), data_samples=samples_of([1, 0, 0, 1, 0, 0]))
    optimizer = torch.optim.RAdam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        batch = model.data_preprocessor(data, training=True)
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_what_is_missing_is_said(model):
    sample = DetDataSample(metainfo=dict(patch_box=BOX))
    with pytest.raises(UserError, match='no proposal_label: load them by ProposalPatchDataset'):
        model(torch.rand(1, 1, 9, 64, 64), [sample], mode='loss')
