from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData
from phantom import make_luna16_phantom
from scipy import ndimage
from torch import nn

from mmlesion.apis import LesionInferencer
from mmlesion.apis.volume_detection import loads_volumes, prepare_volume
from mmlesion.converters.lungs import LungRegion, cut_to_lungs
from mmlesion.io.luna16 import find_luna16_scans, read_luna16_scan, read_lung_mask
from mmlesion.models import AggregatedRCNN3D
from mmlesion.models.detectors.sliding_windows import SlidingWindows
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.structures.grid import Grid, from_index
from mmlesion.utils import UserError

REPO = Path(__file__).parents[2]
FOLDER = REPO / 'configs/phantom/aggregated_rcnn3d'
CONFIG = FOLDER / 'aggregated-rcnn3d_dense-unet_da-lm_luna16-phantom.py'
REAL_CT = REPO.parent / 'shared/data/ct/abdomen_ct_3mm.nii.gz'
DIAMETER = 12.0


@MODELS.register_module(force=True)
class BrightBallDetector(nn.Module):
    """Finds what is brighter than a threshold in each window, with AggregatedRCNN3D's windows."""

    detect_scan = AggregatedRCNN3D.detect_scan
    _detect_windows = AggregatedRCNN3D._detect_windows
    _detect_crops = AggregatedRCNN3D._detect_crops

    def __init__(self):
        super().__init__()
        self.windows = SlidingWindows((64, 64, 64), overlap=32)
        self.data_preprocessor = MODELS.build(dict(type='VolumeDataPreprocessor'))
        self.bias = nn.Parameter(torch.zeros(1))  # whose device is the detector's

    def detect(self, inputs, samples):
        return [self._balls(crop[0].numpy()) for crop in inputs]

    def _balls(self, crop):
        bright = crop > 0.9  # of the window from -1200 to 600 HU: 510
        parts, count = ndimage.label(bright)
        weights, numbers = np.where(bright, crop + 1, 0), np.arange(1, count + 1)
        centers = np.reshape(ndimage.center_of_mass(weights, parts, numbers), (-1, 3)) + 0.5
        volumes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        spheres = np.column_stack([centers, (volumes * 6 / np.pi) ** (1 / 3)])
        scores = torch.linspace(0.9, 0.5, count)
        return InstanceData(
            bboxes=torch.from_numpy(spheres).float(), scores=scores, labels=scores.long() * 0
        )


def detector_config(**metainfo):
    steps = ('LoadVolume', 'LoadSphereAnnotations', 'PackVolumeInputs')
    pipeline = [dict(type=step) for step in steps]
    dataset = dict(type='VolumeDataset', ann_file='none.json', pipeline=pipeline, metainfo=metainfo)
    model = dict(type='BrightBallDetector')
    return Config(dict(model=model, test_dataloader=dict(dataset=dataset)))


@pytest.fixture
def inferencer():
    with pytest.warns(UserWarning, match='random'):
        return LesionInferencer(detector_config(), device='cpu', show_progress=False)


def grid_like(size, spacing, rotation=(0, 0, 0), flip=(1, 1, 1), origin=(-30.0, 45.5, 210.25)):
    """An image of air; rotation in degrees about x, y, z."""
    image = sitk.Image(*size, sitk.sitkInt16) - 1000
    turn = sitk.Euler3DTransform((0, 0, 0), *np.radians(rotation))
    direction = np.reshape(turn.GetMatrix(), (3, 3)) * flip
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def with_balls(image, centers_ijk, hu=1000):
    """Draw balls of DIAMETER mm; each voxel has the share of its ball, sampled 3 x 3 x 3."""
    array = sitk.GetArrayFromImage(image).astype(np.float32)
    grid = Grid.from_image(image)
    indices = np.stack(np.indices(array.shape)[::-1], -1).astype(float)
    steps = np.stack(np.meshgrid(*[[-1 / 3, 0, 1 / 3]] * 3), -1).reshape(-1, 3)
    points = grid.to_world(from_index(centers_ijk))
    for point in points:
        share = np.zeros(array.shape, np.float32)
        distances = np.linalg.norm(grid.to_world(from_index(indices)) - point, axis=-1)
        near = np.argwhere(distances.reshape(array.shape) < DIAMETER)
        for z, y, x in near:
            world = grid.to_world(from_index(indices[z, y, x] + steps))
            share[z, y, x] = (np.linalg.norm(world - point, axis=-1) < DIAMETER / 2).mean()
        array = array * (1 - share) + hu * share
    drawn = sitk.GetImageFromArray(np.rint(array).astype(np.int16))
    drawn.CopyInformation(image)
    return drawn, points


def assert_found(lesions, points, image):
    assert len(lesions) == len(points)
    found = np.array([lesion.center_mm for lesion in lesions])
    distances = np.linalg.norm(found[:, None] - points, axis=-1)
    assert sorted(distances.argmin(axis=1)) == list(range(len(points)))
    assert distances.min(axis=1).max() < 0.5, 'mm'
    for lesion in lesions:
        place = image.TransformContinuousIndexToPhysicalPoint(lesion.center_voxel)
        assert place == pytest.approx(lesion.center_mm)
        assert lesion.diameter_mm == pytest.approx(DIAMETER, abs=1.5)
        assert lesion.short_diameter_mm == pytest.approx(lesion.diameter_mm)
        low, high = np.split(np.array(lesion.bbox_voxel), 2)
        sides = (high - low) * image.GetSpacing()
        np.testing.assert_allclose(sides, lesion.diameter_mm)


@pytest.mark.parametrize(
    'spacing, rotation, flip',
    [
        ((1.0, 1.0, 1.0), (0, 0, 0), (1, 1, 1)),
        ((0.8, 0.8, 2.0), (0, 0, 0), (-1, 1, -1)),
        ((1.1, 0.9, 1.5), (12, -8, 20), (1, 1, 1)),
        ((0.9, 1.3, 1.2), (0, 95, 10), (1, -1, 1)),
    ],
)
def test_centers_in_any_orientation(inferencer, spacing, rotation, flip):
    air = grid_like((70, 64, 50), spacing, rotation, flip)
    image, points = with_balls(air, [(15.3, 20.0, 12.4), (52.0, 44.7, 36.1)])
    image[0, 0, 0] = 20  # so that the values are a CT's whatever the balls are
    assert_found(inferencer(image), points, image)


@pytest.mark.skipif(not REAL_CT.is_file(), reason='shared/data/ct is not there')
def test_centers_in_a_real_scan(inferencer):
    """Balls in the air around a patient and in the soft tissue, far from what is bright itself."""
    image = sitk.ReadImage(str(REAL_CT))
    array = sitk.GetArrayViewFromImage(image)
    dim = sitk.GetImageFromArray(np.minimum(array, 300))
    dim.CopyInformation(image)
    size = np.array(image.GetSize())
    dim, points = with_balls(dim, [size * 0.3 + 0.3, size * 0.6 + 0.1], hu=1500)
    assert_found(inferencer(dim), points, image)


def test_options(inferencer):
    image, _ = with_balls(
        grid_like((70, 64, 50), (1.0, 1.0, 1.0)), [(15, 20, 12), (52, 45, 36)], hu=900
    )
    image[0, 0, 0] = 20
    assert inferencer.box_margin == 0
    lesions = inferencer(image, batch_size=3)
    assert [lesion.id for lesion in lesions] == [1, 2]
    assert inferencer(image) == lesions
    assert len(inferencer(image, pred_score_thr=0.95)) == 0
    labels = {lesion.label for lesion in lesions}
    assert labels == {'lesion'} and all(lesion.diameter_source == 'box' for lesion in lesions)


def test_written_results(inferencer, tmp_path):
    image, _ = with_balls(grid_like((40, 44, 30), (1.0, 1.0, 1.5)), [(15, 20, 12)])
    image[0, 0, 0] = 20
    inferencer(image, out_dir=tmp_path / 'out')
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / 'out/lesions.nii.gz')))
    volume = (labels == 1).sum() * 1.5
    assert volume == pytest.approx(np.pi / 6 * DIAMETER**3, rel=0.25)
    assert (tmp_path / 'out/overlays/lesion_001.png').is_file()


def test_the_real_detector():
    options = {'model.test_cfg.rpn.score_thr': 0.0, 'model.test_cfg.window.size': (32, 32, 32)}
    options['model.test_cfg.window.overlap'] = 0
    options['model.test_cfg.window.max_per_img'] = 7
    options['test_dataloader.dataset.metainfo.preparation'] = None  # noise has no lungs
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random'):
        inferencer = LesionInferencer(
            CONFIG, device='cpu', cfg_options=options, show_progress=False
        )
    values = np.random.default_rng(0).integers(-1000, 300, (20, 24, 36)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    lesions = inferencer(image, pred_score_thr=0.0)
    assert len(lesions) == 7 and {lesion.label for lesion in lesions} == {'nodule'}
    scores = [lesion.score for lesion in lesions]
    assert scores == sorted(scores, reverse=True)


def chest(flip=(1, 1, 1)):
    """A trunk of 120 x 90 x 80 mm with two lungs; a bright ball in one, one in the wall, a mask."""
    image = grid_like((100, 75, 40), (1.2, 1.2, 2.0), flip=flip)
    z, y, x = np.indices((40, 75, 100))
    trunk = ((y - 37) / 33) ** 2 + ((x - 50) / 46) ** 2 <= 1
    lungs = np.zeros(trunk.shape, np.uint8)
    for number, middle in ((3, 32), (4, 68)):
        mm = np.stack([(z - 20) * 2.0, (y - 37) * 1.2, (x - middle) * 1.2])
        lungs[((mm / np.reshape([34, 30, 16], (3, 1, 1, 1))) ** 2).sum(0) <= 1] = number
    array = np.where(trunk, 40, -1000)
    array[lungs > 0] = -850
    drawn, mask = (sitk.GetImageFromArray(a.astype(np.int16)) for a in (array, lungs))
    drawn.CopyInformation(image)
    mask.CopyInformation(image)
    drawn, points = with_balls(drawn, [(30.2, 36.1, 21.3), (50.0, 66.0, 8.0)], hu=900)
    return drawn, sitk.Cast(mask, sitk.sitkUInt8), points


@pytest.fixture
def lung_inferencer():
    preparation = dict(lungs=dict(margin=10.0, outside='fill'))
    with pytest.warns(UserWarning, match='random'):
        return LesionInferencer(
            detector_config(preparation=preparation), device='cpu', show_progress=False
        )


@pytest.mark.parametrize('flip', [(1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_a_detector_of_lungs_sees_nothing_else(lung_inferencer, inferencer, flip, tmp_path):
    """Coordinates stay those of the scan, whether lungs are given or found."""
    image, mask, points = chest(flip)
    assert len(inferencer(image)) == 2
    sitk.WriteImage(mask, str(tmp_path / 'lungs.nii.gz'))
    one_label = mask > 0
    for lungs in (None, mask, tmp_path / 'lungs.nii.gz', one_label):
        assert_found(lung_inferencer(image, lungs=lungs), points[:1], image)


def test_what_is_seen_is_what_the_converter_makes(tmp_path):
    """A scan and its mask, converted and prepared for inference: the same voxels and grid."""
    make_luna16_phantom(tmp_path / 'raw', (1, 0), seed=2)
    (scan,) = find_luna16_scans(tmp_path / 'raw')
    path = tmp_path / 'raw/seg-lungs-LUNA16' / f'{scan.uid}.mhd'
    image = read_luna16_scan(scan.path)
    for outside in ('fill', 'keep'):
        region = LungRegion(8.0, outside)
        hu, grid = cut_to_lungs(image, read_lung_mask(path, image), region)
        preparation = dict(lungs=asdict(region))
        volume = CTVolume(sitk.ReadImage(str(scan.path)))
        seen, where = prepare_volume(volume, preparation, path)
        np.testing.assert_array_equal(seen, hu)
        assert where == grid


def test_lungs_that_cannot_be_used(lung_inferencer, inferencer, tmp_path):
    image, mask, _ = chest()
    with pytest.raises(UserError, match='not trained on lungs'):
        inferencer(image, lungs=mask)
    with pytest.raises(UserError, match='the mask given is empty'):
        lung_inferencer(image, lungs=mask * 0)
    with pytest.raises(UserError, match='the lungs .* and the volume have the size'):
        lung_inferencer(image, lungs=mask[1:])
    moved = sitk.Image(mask)
    moved.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(UserError, match='have the origin'):
        lung_inferencer(image, lungs=moved)
    with pytest.raises(UserError, match='none.nii does not exist'):
        lung_inferencer(image, lungs=tmp_path / 'none.nii')
    air, _ = with_balls(grid_like((40, 44, 30), (1.0, 1.0, 1.5)), [(15, 20, 12)])
    air[0, 0, 0] = 20
    with pytest.raises(UserError, match='no lungs are found'):
        lung_inferencer(air, out_dir=tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not REAL_CT.is_file(), reason='shared/data/ct is not there')
def test_a_real_scan_without_whole_lungs(lung_inferencer):
    """By itself nothing is found; with a mask of the bases at its top it is cut to them."""
    image = sitk.ReadImage(str(REAL_CT))
    with pytest.raises(UserError, match='no lungs are found'):
        lung_inferencer(image)
    bases = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    bases.CopyInformation(image)
    bases[20:50, 40:60, 24:] = 1
    assert isinstance(lung_inferencer(image, lungs=bases), list)


def test_the_score_threshold_is_the_config_s():
    with pytest.warns(UserWarning, match='random'):
        assert LesionInferencer(CONFIG, device='cpu').score_thr == 0.5
        assert LesionInferencer(detector_config(), device='cpu').score_thr == 0.3


def test_kinds_of_pipelines():
    assert loads_volumes([dict(type='mmdet.LoadVolume')])
    assert not loads_volumes([dict(type='LoadCTSlices')]) and not loads_volumes([])
