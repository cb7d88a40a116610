import pytest
import torch
from mmdet.models.losses import TripletLoss
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.utils import UserError

CONFIG = dict(
    type='LesionEmbedding',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[30.0], std=[31.0]),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(1, 3)),
    bbox_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=2),
        out_channels=16,
        featmap_strides=[8],
    ),
    channels=64,
    out_channels=8,
)


def samples_of(groups, types):
    samples = []
    for number, (group, kind) in enumerate(zip(groups, types)):
        sample = DetDataSample(metainfo=dict(lesion_group=group, lesion_type=kind))
        box = torch.tensor([[20.0 + number, 20, 40, 40]])
        sample.gt_instances = InstanceData(bboxes=box)
        samples.append(sample)
    return samples


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MODELS.build(CONFIG)


def test_embeddings_have_length_one_and_depend_on_the_box(model):
    model.eval()
    images = torch.rand(1, 3, 64, 64).expand(2, 3, 64, 64)
    samples = samples_of('ab', (1, 2))
    embeddings = model(images, samples)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    assert (embeddings[0] - embeddings[1]).abs().max() > 1e-4
    predicted = model(images, samples, mode='predict')
    torch.testing.assert_close(predicted[1].embedding, embeddings[1])


def test_losses_by_lesion_and_by_type(model):
    groups, types = ['1/0', '1/0', '1/1', '2/0'], [1, 1, -1, 2]
    images, samples = torch.rand(4, 3, 64, 64), samples_of(groups, types)
    embeddings = model(images, samples)
    losses = model(images, samples, mode='loss')
    by_lesion = TripletLoss(margin=0.1)(embeddings, torch.tensor([0, 0, 1, 2]))
    by_type = TripletLoss(margin=0.1)(embeddings[[0, 1, 3]], torch.tensor([1, 1, 2]))
    torch.testing.assert_close(losses['loss_lesion'], by_lesion)
    torch.testing.assert_close(losses['loss_type'], 0.5 * by_type)


def test_nothing_to_tell_apart_costs_nothing(model):
    images = torch.rand(2, 3, 64, 64)
    losses = model(images, samples_of(['1/0', '1/0'], [-1, -1]), mode='loss')
    assert losses['loss_lesion'] == losses['loss_type'] == 0


def test_training_brings_a_lesion_together(model):
    images = torch.rand(4, 3, 64, 64) * 255
    data = dict(
        inputs=list(images), data_samples=samples_of(['1/0', '1/0', '1/1', '1/1'], [-1] * 4)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        batch = model.data_preprocessor(data, training=True)
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_samples_without_groups_are_refused(model):
    sample = samples_of([None], [1])
    with pytest.raises(UserError, match='LesionPatchDataset'):
        model(torch.rand(1, 3, 64, 64), sample, mode='loss')
