import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from mmlesion.models import SphereAnchorGenerator, SphereOverlaps3D
from mmlesion.structures.spheres import SphereBoxes

# at a distance of half a diameter: IoU 1/3 of the cubes and 5/27 of the spheres
FIRST, SECOND = torch.tensor([[0.0, 0, 0, 2]]), torch.tensor([[1.0, 0, 0, 2]])


@pytest.mark.parametrize('mode, iou, iof', [('cube', 1 / 3, 1 / 2), ('sphere', 5 / 27, 5 / 16)])
def test_modes(mode, iou, iof):
    calculator = TASK_UTILS.build(dict(type='SphereOverlaps3D', mode=mode))
    assert calculator(FIRST, SECOND).item() == pytest.approx(iou)
    assert calculator(SphereBoxes(FIRST), SECOND, mode='iof').item() == pytest.approx(iof)
    assert calculator(FIRST, SphereBoxes(SECOND), is_aligned=True).tolist() == pytest.approx([iou])
    assert repr(calculator) == f"SphereOverlaps3D(mode='{mode}')"


def test_error():
    with pytest.raises(ValueError, match="'cube', 'sphere'.*not 'ellipsoid'"):
        SphereOverlaps3D('ellipsoid')


def assigner(**kwargs):
    calculator = dict(type='SphereOverlaps3D')
    thresholds = dict(pos_iou_thr=0.5, neg_iou_thr=0.02, min_pos_iou=0.02)
    return TASK_UTILS.build(
        dict(type='MaxIoUAssigner', iou_calculator=calculator, **thresholds, **kwargs)
    )


@pytest.mark.parametrize('wrap', [SphereBoxes, lambda boxes: boxes])
def test_max_iou_assigner(wrap):
    """The paper's thresholds on four anchors about a lesion, by hand."""
    priors = torch.tensor(
        [
            [10.0, 10, 10, 6],  # IoU 1
            [10, 10, 11, 6],  # 5 / 7
            [10, 10, 12, 6],  # 4 / 8, over which is positive; so is what is equal, to mmdet
            [10, 10, 13, 6],  # 3 / 9: ignored
            [15, 15, 15, 6],  # 1 / 431: negative
        ]
    )
    truth = InstanceData(bboxes=wrap(torch.tensor([[10.0, 10, 10, 6]])), labels=torch.tensor([0]))
    result = assigner().assign(InstanceData(priors=wrap(priors)), truth)
    assert result.gt_inds.tolist() == [1, 1, 1, -1, 0]
    expected = torch.tensor([1, 5 / 7, 1 / 2, 1 / 3, 1 / 431])
    torch.testing.assert_close(result.max_overlaps, expected)


def test_ignored_lesions():
    priors = torch.tensor([[10.0, 10, 10, 6], [50, 50, 50, 6]])
    truth = InstanceData(bboxes=SphereBoxes([]), labels=torch.zeros(0, dtype=torch.long))
    truth.bboxes.tensor = truth.bboxes.tensor.float()
    one = InstanceData(bboxes=SphereBoxes([[30.0, 30, 30, 6]]), labels=torch.tensor([0]))
    ignored = InstanceData(bboxes=SphereBoxes([[10.0, 10, 10, 12]]))
    spheres = InstanceData(priors=SphereBoxes(priors))
    assert assigner().assign(spheres, truth).gt_inds.tolist() == [0, 0]
    result = assigner(ignore_iof_thr=0.5).assign(spheres, one, ignored)
    assert result.gt_inds.tolist() == [-1, 0]


def test_every_small_lesion_has_an_anchor():
    """With low-quality matches no lesion between the anchors' diameters is without one."""
    generator = SphereAnchorGenerator(use_box_type=True)
    levels = generator.grid_priors([(8,) * 3, (4,) * 3, (2,) * 3], device='cpu')
    torch.manual_seed(0)
    lesions = torch.rand(10, 4) * 26 + 3
    truth = InstanceData(bboxes=SphereBoxes(lesions), labels=torch.zeros(10, dtype=torch.long))
    result = assigner().assign(InstanceData(priors=SphereBoxes.cat(levels)), truth)
    assert set(range(1, 11)) <= set(result.gt_inds.tolist())
