import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.models import VolumeDataPreprocessor
from mmlesion.structures.spheres import SphereBoxes

TISSUE = torch.tensor(2 * 1200 / 1800 - 1)  # 0 HU in the window from -1200 to 600


def sample():
    truth = InstanceData(bboxes=torch.tensor([[1.0, 2, 3, 4]]), labels=torch.tensor([0]))
    return DetDataSample(gt_instances=truth, metainfo=dict(img_shape=(1, 1, 1)))


def test_window():
    hu = torch.tensor([-3000, -1200, -300, 600, 3000], dtype=torch.int16)
    values = VolumeDataPreprocessor().window(hu)
    torch.testing.assert_close(values, torch.tensor([-1.0, -1, 0, 1, 1]))
    assert hu.tolist() == [-3000, -1200, -300, 600, 3000]  # the volume itself stays as it is
    to_unit = VolumeDataPreprocessor(hu_window=(-1000, 0), value_range=(0, 1))
    torch.testing.assert_close(to_unit.window(hu), torch.tensor([0.0, 0, 0.7, 1, 1]))


def test_volumes_of_unequal_size_are_padded_with_tissue():
    volumes = [torch.full((1, *size), 600, dtype=torch.int16) for size in ((16, 20, 32), (8, 8, 8))]
    samples = [sample(), sample()]
    batch = VolumeDataPreprocessor()(dict(inputs=volumes, data_samples=samples), training=True)
    inputs = batch['inputs']
    assert inputs.shape == (2, 1, 16, 32, 32) and inputs.dtype == torch.float32
    assert (inputs[0, :, :16, :20] == 1).all() and inputs[0, :, :, 20:].allclose(TISSUE)
    assert (inputs[1] == 1).sum() == 8**3 and (inputs[1, 0, :8, :8, :8] == 1).all()
    assert [s.pad_shape for s in batch['data_samples']] == [(16, 20, 32), (8, 8, 8)]
    assert all(s.batch_input_shape == (16, 32, 32) for s in batch['data_samples'])


def test_spheres_become_tensors():
    one = sample()
    one.gt_instances.bboxes = SphereBoxes(one.gt_instances.bboxes)
    data = dict(inputs=[torch.zeros(1, 16, 16, 16, dtype=torch.int16)], data_samples=[one])
    (prepared,) = VolumeDataPreprocessor()(data)['data_samples']
    assert prepared.gt_instances.bboxes.tolist() == [[1, 2, 3, 4]]
    assert isinstance(prepared.gt_instances.bboxes, torch.Tensor)


def test_without_samples():
    batch = VolumeDataPreprocessor()(dict(inputs=[torch.zeros(1, 16, 16, 16)]))
    assert batch['inputs'].shape == (1, 1, 16, 16, 16) and batch['data_samples'] is None


def test_bad_window():
    with pytest.raises(ValueError, match='low < high'):
        VolumeDataPreprocessor(hu_window=(600, -1200))
