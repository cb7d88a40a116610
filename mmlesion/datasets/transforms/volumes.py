"""Transforms of 1 mm volumes, (z, y, x) int16 HU, with spheres in voxel coordinates."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, to_tensor
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from numpy.typing import ArrayLike
from scipy import ndimage

from mmlesion.structures import Grid
from mmlesion.structures.boxes import crop_array
from mmlesion.structures.spheres import SphereBoxes
from mmlesion.utils import OptionError, UserError

AXES = ('z', 'y', 'x')


@TRANSFORMS.register_module()
class LoadVolume(BaseTransform):
    """Open a memory-mapped volume.

    Required Keys:

    - volume_path: a ``.npy`` file
    - size: voxels z, y, x

    Added Keys:

    - volume (np.int16): (z, y, x) HU, mapped from the file; what is written to it stays in memory
    - img_shape, ori_shape: (z, y, x)

    Raises:
        UserError: If the file is missing, is not an array, or differs from the annotated volume.
    """

    def transform(self, results: dict) -> dict:
        """Open the volume.

        Args:
            results: A sample.

        Returns:
            dict: The sample with ``volume``, ``img_shape`` and ``ori_shape``.
        """
        path = results['volume_path']
        if not osp.isfile(path):  # a pipe would be waited for
            raise UserError(f'{path} cannot be read (no such file): convert the dataset again')
        try:
            # 'c' rather than 'r', as torch takes no arrays that are read-only
            volume = np.load(path, mmap_mode='c', allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f'{path} cannot be read ({error}): convert the dataset again'
            ) from error
        if volume.dtype != np.int16 or list(volume.shape) != list(results['size']):
            raise UserError(
                f'{path} is {volume.dtype} of {volume.shape} voxels, but is annotated as int16 of '
                f'{tuple(results["size"])}: convert the dataset again'
            )
        results['volume'] = volume
        results['img_shape'] = results['ori_shape'] = volume.shape
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class LoadSphereAnnotations(BaseTransform):
    """Convert the spheres of a volume from world to voxel coordinates.

    Required Keys:

    - instances: with center_mm (x, y, z), diameter_mm, bbox_label, ignore_flag
    - size, spacing, origin, direction

    Added Keys:

    - gt_bboxes (SphereBoxes): (n, 4) z, y, x, diameter; voxel i extends from i to i + 1
    - gt_bboxes_labels (np.int64): (n,)
    - gt_ignore_flags (bool): (n,)

    Args:
        with_ignored: Whether to keep findings that are ignored in the evaluation, such as
            LUNA16's excluded ones, so that they are neither lesions nor background in training.
            Defaults to True; otherwise they are background. ``VolumeDataset`` already excludes
            those that mark a lesion from training.
    """

    def __init__(self, with_ignored: bool = True) -> None:
        self.with_ignored = with_ignored

    def transform(self, results: dict) -> dict:
        """Load the annotations.

        Args:
            results: A sample.

        Returns:
            dict: The sample with ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags``.
        """
        instances = results['instances']
        if not self.with_ignored:
            instances = [one for one in instances if not one['ignore_flag']]
        spheres = _in_voxels(instances, results).astype(np.float32)
        results['gt_bboxes'] = SphereBoxes(torch.from_numpy(spheres))
        labels = [instance['bbox_label'] for instance in instances]
        results['gt_bboxes_labels'] = np.array(labels, dtype=np.int64)
        flags = [instance['ignore_flag'] for instance in instances]
        results['gt_ignore_flags'] = np.array(flags, dtype=bool)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(with_ignored={self.with_ignored})'


@TRANSFORMS.register_module()
class RandomLesionCrop(BaseTransform):
    """Take a random crop, often around a lesion, at a random scale.

    3D Aggregated Faster R-CNN, section Data Preparation: crops of 128 voxels per side, whose
    location is not specified. For a sample with ``crop_target`` (``VolumeDataset.by_lesion``), the
    crop contains that lesion, or lies anywhere. For others, the fraction ``lesion_share`` of the
    crops contains a lesion, in volumes that have one: a third of LUNA16's scans has none.

    Of the crops that are not drawn around a lesion, the fraction ``hard_share`` contains one of
    ``hard_spots``, in volumes for which :class:`~mmlesion.engine.hooks.HardCropHook` recorded some
    (section Anchor Based Sampling).

    A crop stays within the volume where that is large enough; elsewhere it is padded. A lesion
    whose center is cut off, but not all of it, is ignored.

    Required Keys:

    - volume: (z, y, x) int16 HU
    - gt_bboxes, gt_bboxes_labels, gt_ignore_flags
    - crop_target (optional): an instance, with center_mm and diameter_mm, or None; then also size,
      spacing, origin, direction
    - hard_spots (optional): (m, 4) z, y, x, diameter in voxels of the volume

    Added Keys:

    - crop_offset: z, y, x of the volume's first voxel, in voxels of the scaled volume
    - crop_scale: Voxels of the crop for one of the volume

    Modified Keys: all of the required ones, img_shape

    Args:
        crop_size: z, y, x. Defaults to (128, 128, 128).
        lesion_share: Share of crops that contain a lesion, in volumes that have one, where
            samples have no ``crop_target``. Defaults to 0.7.
        hard_share: Share of the others that contain a hard spot, in volumes that have one.
            Defaults to 0.5.
        scale_range: Least and largest scale. Defaults to None, none.
        pad_hu: HU of what is outside of the volume. Defaults to 0, tissue, as the paper's
            reference [9] pads; ``VolumeDataPreprocessor`` pads scans with the same.

    Raises:
        OptionError: If a share or a scale makes no sense.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (128, 128, 128),
        lesion_share: float = 0.7,
        hard_share: float = 0.5,
        scale_range: Sequence[float] | None = None,
        pad_hu: int = 0,
    ) -> None:
        if not 0 <= lesion_share <= 1 or not 0 <= hard_share <= 1:
            raise OptionError(
                f'lesion_share and hard_share must be 0 to 1, not {lesion_share} and {hard_share}',
                self,
            )
        if scale_range is not None and not 0 < scale_range[0] <= scale_range[1]:
            raise OptionError(
                f'scale_range must be (low, high) with 0 < low, not {scale_range}', self
            )
        self.crop_size = tuple(crop_size)
        self.lesion_share = lesion_share
        self.hard_share = hard_share
        self.scale_range = scale_range
        self.pad_hu = pad_hu

    def transform(self, results: dict) -> dict:
        """Take a crop.

        Args:
            results: A sample.

        Returns:
            dict: The crop with its annotations.
        """
        volume = results['volume']
        scale = self._draw_scale()
        start = self._start(self._target(results), np.array(volume.shape), scale)
        results['volume'] = cut_volume(volume, start, self.crop_size, scale, self.pad_hu)
        results['img_shape'] = self.crop_size
        results['crop_offset'], results['crop_scale'] = tuple(start.tolist()), scale
        results['hard_spots'] = []  # in another frame, and of no more use
        # in this order: the crop's start counts voxels of the scaled volume
        results['gt_bboxes'].rescale_(scale)
        results['gt_bboxes'].translate_(-start)
        self._keep_visible(results)
        return results

    def _draw_scale(self) -> float:
        if self.scale_range is None:
            return 1.0
        low, high = self.scale_range
        return np.random.uniform(low, high)

    def _target(self, results: dict) -> np.ndarray | None:
        """Draw a sphere (4,) to be contained in the crop, or None."""
        lesions = results['gt_bboxes'].numpy()[~results['gt_ignore_flags']]
        if results.get('crop_target') is not None:
            return _in_voxels([results['crop_target']], results)[0]
        if 'crop_target' not in results and self._happens(lesions, self.lesion_share):
            return lesions[np.random.randint(len(lesions))].astype(float)
        spots = results.get('hard_spots', [])
        if self._happens(spots, self.hard_share):
            return np.asarray(spots[np.random.randint(len(spots))], float)
        return None

    @staticmethod
    def _happens(spheres: Sequence | np.ndarray, share: float) -> bool:
        return len(spheres) > 0 and np.random.random() < share

    def _start(self, target: np.ndarray | None, shape: np.ndarray, scale: float) -> np.ndarray:
        """Draw the first voxel z, y, x of the crop, in the scaled volume."""
        size = np.array(self.crop_size)
        shape = np.rint(shape * scale)
        # starts of crops within the volume, or, where it is smaller, of those that contain it
        first, last = np.minimum(shape - size, 0), np.maximum(shape - size, 0)
        if target is not None:
            center, radius = target[:3] * scale, target[3] * scale / 2
            # the whole sphere if it fits in, and its center if not
            reach = np.minimum(radius, size / 2)
            low, high = center + reach - size, center - reach
            first, last = np.clip(low, first, last), np.clip(high, first, last)
        return np.rint(np.random.uniform(first, last)).astype(np.int64)

    def _keep_visible(self, results: dict) -> None:
        """Drop spheres outside the crop, and ignore those whose center is outside."""
        spheres = results['gt_bboxes']
        visible = spheres.is_inside(self.crop_size).numpy()
        centers = spheres.centers.numpy()
        cut_off = ((centers < 0) | (centers >= self.crop_size)).any(axis=1)
        results['gt_bboxes'] = spheres[torch.from_numpy(visible)]
        results['gt_bboxes_labels'] = results['gt_bboxes_labels'][visible]
        results['gt_ignore_flags'] = (results['gt_ignore_flags'] | cut_off)[visible]

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, '
            f'lesion_share={self.lesion_share}, hard_share={self.hard_share}, '
            f'scale_range={self.scale_range}, pad_hu={self.pad_hu})'
        )


def _in_voxels(instances: Sequence[Mapping], results: dict) -> np.ndarray:
    """Return the spheres (n, 4) z, y, x, diameter of instances, in voxels of the volume."""
    centers = np.array([one['center_mm'] for one in instances], float).reshape(-1, 3)
    diameters = np.array([one['diameter_mm'] for one in instances], float)
    spheres = np.column_stack([centers, diameters])
    return Grid.from_annotation(results).spheres_from_world(spheres)


@TRANSFORMS.register_module()
class RandomFlip3D(BaseTransform):
    """Randomly flip a volume and its spheres along each axis.

    Required Keys:

    - volume
    - gt_bboxes (optional)

    Added Keys:

    - flip_axes: those it was flipped along, of 'z', 'y', 'x'

    Modified Keys: volume, gt_bboxes

    Args:
        prob: Chance of each axis, or of z, y and x. Defaults to 0.5.
    """

    def __init__(self, prob: float | Sequence[float] = 0.5) -> None:
        self.prob = np.broadcast_to(prob, 3).tolist()

    def transform(self, results: dict) -> dict:
        """Flip the volume.

        Args:
            results: A sample.

        Returns:
            dict: The flipped sample.
        """
        flipped = np.flatnonzero(np.random.random(3) < self.prob)
        results['flip_axes'] = tuple(AXES[axis] for axis in flipped)
        volume = results['volume']
        results['volume'] = np.flip(volume, tuple(flipped))
        if results.get('gt_bboxes') is not None:
            for axis in results['flip_axes']:
                results['gt_bboxes'].flip_(volume.shape, axis)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


@TRANSFORMS.register_module()
class PackVolumeInputs(BaseTransform):
    """Pack a volume for a 3D detector.

    Required Keys:

    - volume: (D, H, W) int16
    - gt_bboxes, gt_bboxes_labels, gt_ignore_flags (optional)

    Returned Keys:

    - inputs (torch.int16): (1, D, H, W); a view of a mapped file where it is whole
    - data_samples (DetDataSample): with gt_instances and ignored_instances, each with ``bboxes``
      (SphereBoxes) and ``labels``, and the meta information

    Args:
        meta_keys: Fields of the sample to copy to the metainfo, if present.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'volume_id',
            'volume_path',
            'series_uid',
            'size',
            'spacing',
            'origin',
            'direction',
            'ori_shape',
            'img_shape',
            'crop_offset',
            'crop_scale',
            'flip_axes',
        ),
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack the sample.

        Args:
            results: A sample.

        Returns:
            dict: ``inputs`` and ``data_samples``.
        """
        volume = np.ascontiguousarray(results['volume'])
        sample = DetDataSample()
        if results.get('gt_bboxes') is not None:
            ignored = results['gt_ignore_flags']
            sample.gt_instances = self._instances(results, ~ignored)
            sample.ignored_instances = self._instances(results, ignored)
        sample.set_metainfo({key: results[key] for key in self.meta_keys if key in results})
        # (1, z, y, x): one channel
        return dict(inputs=torch.from_numpy(volume)[None], data_samples=sample)

    def _instances(self, results: dict, chosen: np.ndarray) -> InstanceData:
        return InstanceData(
            bboxes=results['gt_bboxes'][torch.from_numpy(chosen)],
            labels=to_tensor(results['gt_bboxes_labels'][chosen]),
        )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def cut_volume(
    volume: np.ndarray,
    start: ArrayLike,
    size: ArrayLike,
    scale: float = 1.0,
    pad_hu: int = 0,
) -> np.ndarray:
    """Crop a volume at a scale; the crop may extend beyond the volume.

    Args:
        volume: (z, y, x) int16.
        start: First voxel of the part, z, y, x, in the scaled volume.
        size: Its voxels.
        scale: Voxels of the part per voxel of the volume, with linear interpolation.
        pad_hu: Value beyond the volume.

    Returns:
        ndarray: (z, y, x) of this size, int16, a copy.
    """
    origin, extent = np.asarray(start), np.asarray(size)
    if scale == 1:
        return crop_array(volume, origin, extent, pad_hu)
    # The center of the scaled volume's voxel i is the point (i + 0.5) / scale of the volume's.
    first = (origin + 0.5) / scale - 0.5
    # the whole voxels that the interpolation reads: from corner up to end, exclusive
    corner = np.floor(first).astype(int)
    end = np.ceil(first + (extent - 1) / scale).astype(int) + 1
    part = crop_array(volume, corner, end - corner, pad_hu).astype(np.float32)
    scaled = ndimage.affine_transform(
        part, np.full(3, 1 / scale), first - corner, tuple(extent), order=1, mode='nearest'
    )
    return np.rint(scaled).astype(np.int16)
