"""The dense supervision branch of the improved RetinaNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.seg_heads.base_semantic_head import BaseSemanticHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.utils import UserError

from ..layers import AttentionGate

# The loss is divided by the number of lesion px, but by no less than this share of all px, without
# which a batch without masks would weigh too much: one lesion of 16 x 16 px in the paper's batch of
# four images of 512 x 512 px. Of DeepLesion's batches 1 in 400 has fewer; the median is 1,760 px.
MIN_LESION_SHARE = 2.5e-4


class UpsamplingStep(BaseModule):
    """Further top-down step: upsampling, addition of a skip connection, 3x3 convolution.

    Args:
        in_channels: Channels of the coarser level.
        out_channels: Channels of the skip connection and of the output.
        attention: Whether the coarser level gates the skip connection.
        norm_cfg: Config of the normalization.
    """

    def __init__(
        self, in_channels: int, out_channels: int, attention: bool, norm_cfg: OptConfigType = None
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, out_channels, 1)
        self.gate = AttentionGate(out_channels, out_channels) if attention else None
        self.conv = ConvModule(out_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)

    def forward(self, coarser: Tensor, skip: Tensor) -> Tensor:
        """Merge a level with the skip connection from the next finer one.

        Args:
            coarser: (N, in_channels, H / 2, W / 2).
            skip: (N, out_channels, H, W).

        Returns:
            Tensor: (N, out_channels, H, W).
        """
        reduced = self.reduce(coarser)
        if self.gate is not None:
            skip = self.gate(skip, reduced)
        return self.conv(skip + F.interpolate(reduced, size=skip.shape[2:], mode='nearest'))


def check_strides(image: Tensor, c1: Tensor | None, p2: Tensor) -> None:
    """Check that C1, if there is one, is at stride 2 of the image and P2 at stride 4.

    Raises:
        UserError: If not, with what to change.
    """
    # a trace's sizes are tensors, which round() does not know; the check is not part of its graph
    p2_stride = round(int(image.shape[2]) / int(p2.shape[2]))
    if c1 is None:
        if p2_stride == 4:
            return
        raise UserError(
            f'dense supervision needs P2 at stride 4, but the first output of the neck is at '
            f"stride {p2_stride}: set the neck's start_level to the backbone's output at stride 4"
        )
    c1_stride = round(int(image.shape[2]) / int(c1.shape[2]))
    if (c1_stride, p2_stride) != (2, 4):
        raise UserError(
            f'dense supervision needs C1 at stride 2 and P2 at stride 4, but the first output of '
            f'the backbone is at stride {c1_stride}, that of the neck at {p2_stride}: take a '
            'backbone that returns C1, VGG or StemResNet, and start_level=1 in the neck, or set '
            'c1_channels=None in the seg_head for a backbone without C1'
        )


@MODELS.register_module()
class LesionSegHead(BaseSemanticHead):
    """Dense lesion masks from the finest pyramid level (improved RetinaNet, section 2.2).

    Two more upsampling steps, to P1 with a skip connection from C1 by a 1x1 convolution and to the
    image's own resolution with one from the image by two 3x3 convolutions; then the segmentation
    layer, trained by focal cross-entropy. The paper does not specify widths: with 64 channels at P1
    and 16 at the image's resolution, both steps cost a few percent of the detector.

    A backbone without C1, such as Swin or RegNet, needs ``c1_channels=None``: the skip connection
    to P1 is then a 3x3 convolution of stride 2 on the image, a small stem of the head's own.

    Pixels marked ``ignore_index`` (lesions without a mask; padding) have no part in the loss. As
    RetinaNet's focal loss is divided by the number of positive anchors, this one is by the number
    of lesion px.

    Args:
        in_channels: Channels of P2. Defaults to 256.
        c1_channels: Channels of C1; None for a backbone without C1. Defaults to 64.
        image_channels: Channels of the image. Defaults to 3.
        feat_channels: Channels at P1 and at the image's resolution.
        attention: Whether attention gates are on both skip connections, too.
            Defaults to False.
        norm_cfg: Config of the normalization. Defaults to None.
        ignore_index: Marks unknown px. Defaults to 255.
        loss_seg: Config of a sigmoid loss. Defaults to mmdet's FocalLoss with gamma 2 and,
            since px with a probability of 0.5 or more count as lesion, equal weights of both
            classes (alpha 0.5).
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        in_channels: int = 256,
        c1_channels: int | None = 64,
        image_channels: int = 3,
        feat_channels: Sequence[int] = (64, 16),
        attention: bool = False,
        norm_cfg: OptConfigType = None,
        ignore_index: int = 255,
        loss_seg: ConfigType = dict(
            type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.5, loss_weight=1.0
        ),
        init_cfg: OptMultiConfig = dict(
            type='Xavier',
            layer='Conv2d',
            distribution='uniform',
            override=dict(type='Normal', name='segmentation', std=0.01, bias_prob=0.01),
        ),
    ) -> None:
        super().__init__(
            num_classes=1, seg_rescale_factor=1.0, loss_seg=loss_seg, init_cfg=init_cfg
        )
        p1, p0 = feat_channels
        self.ignore_index = ignore_index
        self.takes_c1 = c1_channels is not None
        if c1_channels is not None:
            self.c1_skip = nn.Conv2d(c1_channels, p1, 1)
        else:
            self.stem = ConvModule(image_channels, p1, 3, stride=2, padding=1, norm_cfg=norm_cfg)
        self.image_skip = nn.Sequential(
            ConvModule(image_channels, p0, 3, padding=1, norm_cfg=norm_cfg),
            ConvModule(p0, p0, 3, padding=1, norm_cfg=norm_cfg),
        )
        self.to_p1 = UpsamplingStep(in_channels, p1, attention, norm_cfg)
        self.to_image = UpsamplingStep(p1, p0, attention, norm_cfg)
        self.segmentation = nn.Conv2d(p0, 1, 1)

    def forward(self, x: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Segment lesions.

        Args:
            x: The images (N, image_channels, H, W), C1 (N, c1_channels, H / 2,
                W / 2), None without ``c1_channels``, and P2 (N, in_channels, H / 4, W / 4).

        Returns:
            dict[str, Tensor]: ``seg_preds``, logits (N, 1, H, W), and ``feats``, the features
            (N, feat_channels[1], H, W) from which they come.

        Raises:
            UserError: If C1 or P2 is at another stride, as of a backbone without C1.
        """
        image, c1, p2 = x
        check_strides(image, c1, p2)
        p1_skip = self.c1_skip(c1) if self.takes_c1 else self.stem(image)
        p1 = self.to_p1(p2, p1_skip)
        feats = self.to_image(p1, self.image_skip(image))
        return dict(seg_preds=self.segmentation(feats), feats=feats)

    def loss(
        self, x: tuple[Tensor, ...], batch_data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """Compute the loss against the dense masks.

        Args:
            x: As for :meth:`forward`.
            batch_data_samples: With ``gt_sem_seg.sem_seg`` (1, H, W): 1 in
                lesions, 0 outside, ``ignore_index`` where unknown.

        Returns:
            dict[str, Tensor]: ``loss_seg``.

        Raises:
            UserError: If a sample has no ``gt_sem_seg``.
        """
        if any('gt_sem_seg' not in sample for sample in batch_data_samples):
            raise UserError(
                'dense supervision needs lesion masks: put LoadLesionAnnotations(with_mask=True) '
                'and LesionMasksToSegMap into train_pipeline'
            )
        target = torch.stack([sample.gt_sem_seg.sem_seg for sample in batch_data_samples]).flatten()
        # All px of the batch in one row; unknown ones have weight 0.
        known = (target != self.ignore_index).float()
        lesion = (target == 1).float()
        divisor = torch.maximum(lesion.sum(), MIN_LESION_SHARE * known.sum()).clamp(min=1)
        logits = self(x)['seg_preds'].float().flatten()
        return dict(loss_seg=self.loss_seg(logits, lesion, weight=known, avg_factor=divisor))

    def predict(
        self, x: tuple[Tensor, ...], batch_img_metas: list[dict], rescale: bool = False
    ) -> list[Tensor]:
        """Predict the probability of a lesion for each px.

        Args:
            x: As for :meth:`forward`.
            batch_img_metas: Meta information of each image.
            rescale: Whether to go back to the size of the original image, ``ori_shape``.

        Returns:
            list[Tensor]: Probability map (1, H, W) of each image.
        """
        return [logits.sigmoid() for logits in super().predict(x, batch_img_metas, rescale)]
