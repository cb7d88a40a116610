"""The detector of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

from typing import Callable

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.utils import samplelist_boxtype2tensor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig
from mmengine.structures import InstanceData
from torch import Tensor

from mmlesion.utils import OptionError
from mmlesion.utils.parallel import prefetch

from .sliding_windows import SlidingWindows, centered_within

BRANCHES = ('joint', 'rpn', 'fprn')


@MODELS.register_module()
class AggregatedRCNN3D(TwoStageDetector):
    """3D Aggregated Faster R-CNN: lesions as spheres in volumes of 1 mm.

    An RPN on a U-Net's pyramid, and an FPRN that rescores its proposals. ``branches`` selects the
    trained branches (section III-E): 'joint', 'rpn' or 'fprn'; ``BranchScheduleHook`` changes it
    during training. Until the FPRN has been trained, detections are those of the RPN:
    ``fprn_detects`` is part of a checkpoint, so that a checkpoint of the RPN phase is tested
    accordingly.

    With ``test_cfg.window`` scans are tested in overlapping windows, whose size bounds the memory:
    a scan stays on its storage, such as a memory-mapped file, and is processed on the device one
    batch of windows at a time.

    Args:
        backbone: Config of the backbone, ``DenseUNet3D``.
        rpn_head: ``SphereRPNHead``.
        roi_head: ``AggregatedRoIHead``. Defaults to None: detections are those of
            the RPN.
        neck: Config of a neck. Defaults to None.
        train_cfg: ``rpn``, ``rpn_proposal`` and ``rcnn``, as in mmdet.
        test_cfg: ``rpn`` and ``rcnn``, as in mmdet, and ``window``, the options of
            :class:`~mmlesion.models.detectors.sliding_windows.SlidingWindows`, whose ``divisor``
            defaults to the multiple to which ``data_preprocessor`` pads; without it a scan is
            processed as a whole.
        data_preprocessor: ``VolumeDataPreprocessor``.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        backbone: ConfigType,
        rpn_head: ConfigType,
        roi_head: OptConfigType = None,
        neck: OptConfigType = None,
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        data_preprocessor: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        # The FPRN assigns ground truth lesions to levels by the anchors of the RPN.
        if roi_head is not None and 'anchor_generator' in rpn_head:
            roi_head = roi_head.copy()
            roi_head['anchor_generator'] = rpn_head['anchor_generator']
        super().__init__(
            backbone, neck, rpn_head, roi_head, train_cfg, test_cfg, data_preprocessor, init_cfg
        )
        self._branches = 'joint'
        # a number, as distributed runs average buffers
        self.register_buffer('_fprn_detects', torch.tensor(1, dtype=torch.uint8))
        window = (test_cfg or {}).get('window')
        self.windows = None
        if window is not None:
            divisor = self.data_preprocessor.pad_size_divisor
            self.windows = SlidingWindows(**{'divisor': divisor, **window})

    @property
    def branches(self) -> str:
        """str: The trained branches, initially 'joint'.

        Raises:
            OptionError: If it is set to anything but 'joint', 'rpn' or 'fprn'.
        """
        return self._branches

    @branches.setter
    def branches(self, branches: str) -> None:
        if branches not in BRANCHES:
            raise OptionError(f'branches must be one of {BRANCHES}, not {branches!r}', self)
        self._branches = branches

    @property
    def fprn_detects(self) -> bool:
        """bool: Whether proposals are scored again; set again whenever the FPRN is trained."""
        return self.with_roi_head and bool(self._fprn_detects)

    @fprn_detects.setter
    def fprn_detects(self, detects: bool) -> None:
        self._fprn_detects.fill_(detects)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses of the branches that are trained.

        Args:
            batch_inputs: Volumes (N, 1, D, H, W).
            batch_data_samples: With ``gt_instances``.

        Returns:
            dict[str, Tensor]: ``loss_rpn_cls`` and ``loss_rpn_bbox`` of the RPN, ``loss_cls`` of
            the FPRN.
        """
        if not self.with_roi_head or self.branches == 'rpn':
            return self.rpn_head.loss(self.extract_feat(batch_inputs), batch_data_samples)
        # a branch that is trained is used from now on, in validation too
        self.fprn_detects = True
        losses = super().loss(batch_inputs, batch_data_samples)
        if self.branches == 'joint':
            return losses
        return {name: loss for name, loss in losses.items() if not name.startswith('loss_rpn')}

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detect lesions.

        Args:
            batch_inputs: Volumes (N, 1, D, H, W).
            batch_data_samples: With meta information.
            rescale: Not used; volumes are not resized on their way.

        Returns:
            list[DetDataSample]: With ``pred_instances``: ``bboxes`` (n, 4), z, y, x and diameter in
            voxels of the input, ``scores``, highest first, ``labels`` and ``level``.
        """
        results = self.detect(batch_inputs, batch_data_samples)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def test_step(self, data: dict) -> list[DetDataSample]:
        """Detect the lesions in whole scans, in windows if configured.

        Args:
            data: ``inputs``, scans (1, D, H, W) in HU, and ``data_samples``.

        Returns:
            list[DetDataSample]: As :meth:`predict` has them.
        """
        samples = data['data_samples']
        # in place: heads and results have plain tensors for boxes
        samplelist_boxtype2tensor(samples)
        results = [self.detect_scan(volume) for volume in data['inputs']]
        return self.add_pred_to_datasample(samples, results)

    def val_step(self, data: dict) -> list[DetDataSample]:
        """Validate like :meth:`test_step`."""
        return self.test_step(data)

    @torch.no_grad()
    def detect_scan(
        self, volume: Tensor, batch_size: int | None = None, progress: Callable = iter
    ) -> InstanceData:
        """Detect the lesions in a scan, in windows if configured.

        Args:
            volume: (1, D, H, W) HU, of any type; not changed.
            batch_size: Windows at once. Defaults to None, that of the config.
            progress: Takes the list of batches and iterates over it, as tqdm does.

        Returns:
            InstanceData: As :meth:`predict` has it, in voxels of the scan.
        """
        shape = volume.shape[1:]
        # The preprocessor pads at the end: spheres centered there are not in the scan.
        if self.windows is None:
            (found,) = self._detect_crops([volume])
            return centered_within(found, 0, found.bboxes.new_tensor(shape))
        return self._detect_windows(self.windows, volume, batch_size, progress)

    def _detect_windows(
        self,
        windows: SlidingWindows,
        volume: Tensor,
        batch_size: int | None,
        progress: Callable,
    ) -> InstanceData:
        shape, fill = volume.shape[1:], self.data_preprocessor.pad_hu
        starts, size = windows.place(shape)
        on_gpu = next(self.parameters()).is_cuda

        def cut(batch: Tensor) -> list[Tensor]:
            crops = [windows.cut(volume, start, size, fill) for start in batch.tolist()]
            # of pinned memory the copy to a GPU need not be waited for
            return [crop.pin_memory() for crop in crops] if on_gpu else crops

        # Only the windows of two batches are copied from the scan, which may be a mapped file: one
        # is cut while the other is on the device.
        found: list[InstanceData] = []
        batches = starts.split(batch_size or windows.batch_size)
        for crops in prefetch(cut, progress(batches)):
            found += self._detect_crops(crops)
        # all windows at once: selecting detections waits for the device
        numbers = torch.tensor([len(results) for results in found])
        every_start = starts.repeat_interleave(numbers, 0).to(found[0].bboxes.device)
        joined = windows.in_volume(InstanceData.cat(found), every_start, size, shape)
        return windows.merge(joined)

    def _detect_crops(self, crops: list[Tensor]) -> InstanceList:
        samples = [DetDataSample() for _ in crops]
        data = self.data_preprocessor(dict(inputs=crops, data_samples=samples))
        return self.detect(data['inputs'], data['data_samples'])

    def detect(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> InstanceList:
        """Detect lesions and return an InstanceData for each volume, as in :meth:`predict`."""
        x = self.extract_feat(batch_inputs)
        results = self.rpn_head.predict(x, batch_data_samples)
        if self.fprn_detects:
            results = self.roi_head.predict(x, results, batch_data_samples)
        return results

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None
    ) -> tuple:
        """Run the network without post-processing, except that of proposals.

        Args:
            batch_inputs: Volumes (N, 1, D, H, W).
            batch_data_samples: Not used.

        Returns:
            tuple: Scores and deltas of each level, and the FPRN's scores of all proposals (n,) if
            there is one.
        """
        x = self.extract_feat(batch_inputs)
        outs = self.rpn_head(x)
        if not self.fprn_detects:
            return outs
        return *outs, self.roi_head(x, self.rpn_head.predict_by_feat(*outs))
