"""Running detectors of whole volumes on CT of any grid."""

import copy
from functools import partial

import numpy as np
from mmengine.dataset import Compose
from tqdm import tqdm

from ..datasets.volume_files import isotropic_grid, resample

_FROM_FILES = ('LoadVolume', 'LoadSphereAnnotations')


def loads_volumes(pipeline):
    """Whether a config's test pipeline is that of a detector of whole volumes.

    Args:
        pipeline (list[dict]): The pipeline.

    Returns:
        bool: True if it begins with ``LoadVolume``.
    """
    return bool(pipeline) and _name(pipeline[0]) == _FROM_FILES[0]


def detect_volume(model, pipeline, volume, batch_size=None, score_thr=0.0, show_progress=False):
    """Find lesions in a CT volume as spheres, in windows of 1 mm.

    The volume is resampled to 1 mm in the training orientation, as the converters do it, and what
    is found is taken back to its own voxels.

    Args:
        model (AggregatedRCNN3D): The detector.
        pipeline (list[dict]): The config's test pipeline, of which what reads files is left out.
        volume (CTVolume): The volume.
        batch_size (int, optional): Windows at once. Defaults to None, as the config has it.
        score_thr (float): Detections below this score are left out.
        show_progress (bool): Show a progress bar of the windows.

    Returns:
        tuple[ndarray]: (n, 6) boxes x1, y1, z1, x2, y2, z2 around the spheres in voxels of
        ``volume.array``, by falling score; (n,) scores and (n,) labels.
    """
    grid = isotropic_grid(volume.grid, (0, 0, 0), volume.grid.size)
    sample = _prepare(pipeline, resample(volume.image, grid), grid)
    progress = partial(tqdm, desc='windows', disable=not show_progress)
    found = model.detect_scan(sample['inputs'], batch_size, progress)
    found = found[found.scores >= score_thr]
    spheres = grid.spheres_to_world(found.bboxes.cpu().numpy())
    scores, labels = found.scores.cpu().numpy().astype(float), found.labels.cpu().numpy()
    return boxes_around(spheres, volume.grid), scores, labels


def boxes_around(spheres, grid):
    """Boxes around spheres of the world, in voxels of a grid.

    Args:
        spheres (ndarray): (n, 4) x, y, z and diameter in mm.
        grid (VolumeGrid): The grid.

    Returns:
        ndarray: (n, 6) x1, y1, z1, x2, y2, z2; voxel i extends from i to i + 1.
    """
    centers = grid.from_world(spheres[:, :3])[:, ::-1]
    radii = spheres[:, 3:] / 2 / np.array(grid.spacing)
    return np.concatenate([centers - radii, centers + radii], axis=1)


def _prepare(pipeline, hu, grid):
    """Take a volume in memory through a pipeline."""
    steps = [step for step in copy.deepcopy(list(pipeline)) if _name(step) not in _FROM_FILES]
    where = dict(spacing=grid.spacing, origin=grid.origin, direction=grid.direction)
    shapes = dict.fromkeys(('size', 'img_shape', 'ori_shape'), hu.shape)
    return Compose(steps)(dict(volume=hu, **where, **shapes))


def _name(step):
    return step['type'].split('.')[-1]
