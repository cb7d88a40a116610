"""The anchor-free proposal network of LENS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.utils import multi_apply
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from mmlesion.utils import OptionError


def _offsets(points: Tensor, boxes: Tensor) -> Tensor:
    """Return offsets (k, P, 2) in px of points (P, 2) from the centers of boxes (k, 4)."""
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return (points - centers).abs()


def _inside(points: Tensor, boxes: Tensor, ratio: float) -> Tensor:
    """Return a mask (k, P) of the points (P, 2) in the boxes (k, 4) shrunk to ``ratio``."""
    sizes = boxes[:, None, 2:] - boxes[:, None, :2]
    return (_offsets(points, boxes) <= ratio / 2 * sizes).all(-1)


def _nearest(points: Tensor, boxes: Tensor) -> Tensor:
    """Return the index (k,) of the point (P, 2) nearest to the center of each box (k, 4)."""
    return _offsets(points, boxes).square().sum(-1).argmin(1)


@MODELS.register_module()
class AnchorFreeProposalHead(BaseDenseHead):
    """Anchor-free proposal network, AFP (LENS, section Anchor-Free Proposal Network).

    A centerness branch predicts which locations are central in a lesion, and a box branch the
    distances to its borders; each is a 3x3 convolution, ReLU and a 1x1 convolution. The central
    region of a box is the box shrunk to ``center_ratio``; from there to ``ignore_ratio`` locations
    are ignored; all others are negative. A location in the central regions of several lesions is
    assigned to the smallest. The location nearest to a lesion's center always belongs to its
    central region, which for a lesion of less than ``stride / center_ratio`` px, 20 px in LENS, may
    lie between locations.

    Uncertain lesions, a sample's ``ignored_instances``, have no middle and are ignored whole.

    Not in the paper: ``feat_channels``, of which 128 give its Table IV's model size (1.1 times for
    four datasets); the sizes of the kernels, CenterNet's; distances in units of the stride, also
    CenterNet's, whose weight of the L1 loss (0.1) the paper has; and boxes of 32 px to begin with,
    about DeepLesion's median. The focal loss is divided by the number of positive locations, the L1
    loss, summed over the four sides, too.

    It replaces an RPN in mmdet's two-stage detectors.

    Args:
        in_channels: Channels of the feature maps.
        feat_channels: Channels in the branches. Defaults to 128.
        center_ratio: The paper's r_c. Defaults to 0.2.
        ignore_ratio: The paper's r_i. Defaults to 0.5.
        num_classes: Must be 1.
        prior_generator: Config of locations. Defaults to those of one level of stride 4.
        bbox_coder: Config of distances and boxes, in px.
        loss_cls: Loss of the centerness, equation 1's L center. Defaults to focal loss.
        loss_bbox: Loss of the distances, equation 1's L size. Defaults to L1 of weight 0.1,
            its lambda 1.
        train_cfg: Not used; mmdet's detectors pass it.
        test_cfg: ``nms_pre``, ``nms``, ``max_per_img``, ``min_bbox_size``
            (0, which leaves out boxes turned inside out) and ``score_thr`` as in mmdet.
        init_cfg: Initialization config.

    Raises:
        OptionError: If not ``0 < center_ratio <= ignore_ratio <= 1``, or there are several classes.
    """

    use_sigmoid_cls = True
    cls_out_channels = 1

    def __init__(
        self,
        in_channels: int,
        feat_channels: int = 128,
        center_ratio: float = 0.2,
        ignore_ratio: float = 0.5,
        num_classes: int = 1,
        prior_generator: ConfigType = dict(type='MlvlPointGenerator', strides=[4]),
        bbox_coder: ConfigType = dict(type='DistancePointBBoxCoder'),
        loss_cls: ConfigType = dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
        loss_bbox: ConfigType = dict(type='L1Loss', loss_weight=0.1),
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=[
                dict(type='Normal', name='center_out', std=0.01, bias_prob=0.01),
                dict(type='Normal', name='size_out', std=0.01, bias=4.0),
            ],
        ),
    ) -> None:
        super().__init__(init_cfg)
        if not 0 < center_ratio <= ignore_ratio <= 1 or num_classes != 1:
            raise OptionError(
                'it needs 0 < center_ratio <= ignore_ratio <= 1 and num_classes=1, '
                f'but got {center_ratio}, {ignore_ratio} and {num_classes}',
                self,
            )
        self.center_ratio = center_ratio
        self.ignore_ratio = ignore_ratio
        self.prior_generator = TASK_UTILS.build(prior_generator)
        self.bbox_coder = TASK_UTILS.build(bbox_coder)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.center_conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
        self.center_out = nn.Conv2d(feat_channels, 1, 1)
        self.size_conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
        self.size_out = nn.Conv2d(feat_channels, 4, 1)

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], ...]:
        """Predict on each level.

        Args:
            x: Feature maps (N, in_channels, H, W).

        Returns:
            tuple[list[Tensor]]: Of each level, centerness (N, 1, H, W) before the sigmoid and
            distances (N, 4, H, W) of left, top, right and bottom border, px.
        """
        return multi_apply(self.forward_single, x, self.prior_generator.strides)

    def forward_single(self, x: Tensor, stride: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Predict on one level with ``stride`` in x and y."""
        # distances in strides, (x, y, x, y) of which make px of left, top, right and bottom
        sizes = self.size_out(self.size_conv(x).relu_())
        return self._centerness(x), sizes * sizes.new_tensor(stride * 2)[:, None, None]

    def _centerness(self, x: Tensor) -> Tensor:
        return self.center_out(self.center_conv(x).relu_())

    def predict(
        self, x: tuple[Tensor, ...], batch_data_samples: list[DetDataSample], rescale: bool = False
    ) -> InstanceList:
        """Propose boxes.

        The box branch is computed only at the ``nms_pre`` best locations: with 1000 in a slice of
        512 px this takes two fifths of the time.

        Args:
            x: Feature maps (N, in_channels, H, W).
            batch_data_samples: With meta information.
            rescale: Whether to return boxes of the original image. Defaults to False.

        Returns:
            list[InstanceData]: ``bboxes`` (n, 4), ``scores`` and ``labels`` of each image.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        predicted = multi_apply(self._predict_best, x, self.prior_generator.strides)
        return self.predict_by_feat(*predicted, batch_img_metas=metas, rescale=rescale)

    def _predict_best(self, x: Tensor, stride: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Predict like :meth:`forward_single`; centerness is -inf except at the best locations."""
        count = (self.test_cfg or {}).get('nms_pre', -1)
        if not 0 < count < x.shape[-2:].numel():
            return self.forward_single(x, stride)
        # the size branch is computed at the best locations alone, of which NMS takes no others
        centerness = self._centerness(x)
        logits = centerness.flatten(1)
        best, index = logits.topk(count)
        sizes = self._sizes_at(x, index) * x.new_tensor(stride * 2)[:, None]
        # (N, 4, k): the four distances of a box are at the same location of four maps
        everywhere = index[:, None].expand(-1, 4, -1)
        return (
            torch.full_like(logits, -torch.inf).scatter(1, index, best).view_as(centerness),
            x.new_zeros(len(x), 4, logits.shape[1])
            .scatter(2, everywhere, sizes)
            .unflatten(2, x.shape[-2:]),
        )

    def _sizes_at(self, x: Tensor, index: Tensor) -> Tensor:
        """Compute the box branch (N, 4, k) at locations (N, k), numbered row by row."""
        channels, width = x.shape[1], x.shape[-1]
        rows, columns = index.div(width, rounding_mode='floor'), index % width
        # In a map padded by one px the 3x3 window around (row, column) begins at the same numbers:
        # `around` (N, k * 9) has its nine locations, numbered row by row in the padded map.
        padded = width + 2
        steps = torch.arange(3, device=x.device)
        window = (steps[:, None] * padded + steps).flatten()
        around = ((rows * padded + columns)[..., None] + window).flatten(1)
        patches = F.pad(x, (1, 1, 1, 1)).flatten(2)
        patches = patches.gather(2, around[:, None].expand(-1, channels, -1))
        patches = patches.unflatten(2, (-1, 9))  # (N, C, k, 9)
        # the 3x3 convolution at these locations alone
        weight, bias = self.size_conv.weight.flatten(2), self.size_conv.get_parameter('bias')
        hidden = torch.einsum('nckt,oct->nok', patches, weight)
        hidden = (hidden + bias[:, None]).relu_()
        return self.size_out(hidden[..., None])[..., 0]

    def loss_by_feat(
        self,
        centerness: list[Tensor],
        sizes: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            centerness: (N, 1, H, W) of each level, before the sigmoid.
            sizes: Distances (N, 4, H, W) of each level, px.
            batch_gt_instances: ``bboxes`` of each image.
            batch_img_metas: Not used.
            batch_gt_instances_ignore: Uncertain ``bboxes``.

        Returns:
            dict[str, Tensor]: ``loss_rpn_cls`` and ``loss_rpn_bbox``.
        """
        ignored = batch_gt_instances_ignore or [None] * len(batch_gt_instances)
        priors = self._priors(centerness)
        targets = multi_apply(self.get_targets, batch_gt_instances, ignored, points=priors[:, :2])
        labels, weights, boxes = map(torch.stack, targets)
        # (N, P, 1) and (N, P, 4), the locations of all levels in the order of the priors
        logits = torch.cat([level.flatten(2) for level in centerness], 2).transpose(1, 2)
        distances = torch.cat([level.flatten(2) for level in sizes], 2).transpose(1, 2)
        image, location = (labels == 0).nonzero(as_tuple=True)
        # of all processes: a lesion weighs the same however the images are spread over them
        num_positives = reduce_mean(distances.new_tensor(len(image))).clamp(min=1)
        target = self.bbox_coder.encode(priors[location, :2], boxes[image, location])
        return dict(
            loss_rpn_cls=self.loss_cls(
                logits.reshape(-1, 1), labels.flatten(), weights.flatten(), avg_factor=num_positives
            ),
            loss_rpn_bbox=self.loss_bbox(
                distances[image, location],
                target,
                1 / priors[location, 2:].repeat(1, 2),  # px to strides
                avg_factor=num_positives,
            ),
        )

    def _priors(self, levels: Sequence[Tensor]) -> Tensor:
        """Return locations (P, 4) of all levels: x and y in px, and their strides."""
        shapes = [level.shape[-2:] for level in levels]
        priors = self.prior_generator.grid_priors(
            shapes, levels[0].dtype, levels[0].device, with_stride=True
        )
        return torch.cat(priors)

    def get_targets(
        self, gt_instances: InstanceData, gt_instances_ignore: InstanceData | None, points: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute the targets of an image's locations.

        Args:
            gt_instances: ``bboxes`` (k, 4), x1, y1, x2, y2 in px.
            gt_instances_ignore: Uncertain ``bboxes`` (m, 4).
            points: Locations (P, 2), x and y in px.

        Returns:
            tuple[Tensor]: Labels (P,), 0 in the central region of a lesion and 1 elsewhere, weights
            (P,), 0 for ignored locations, and the lesion's box (P, 4), zeros if there is none.
        """
        boxes = get_box_tensor(gt_instances.bboxes)
        # Masks (k, P) of boxes and locations; a box too small for any has at least the nearest.
        middle = _inside(points, boxes, self.center_ratio)
        middle[torch.arange(len(boxes)), _nearest(points, boxes)] = True
        ignored = _inside(points, boxes, self.ignore_ratio).any(0)
        if gt_instances_ignore is not None:
            ignored |= _inside(points, get_box_tensor(gt_instances_ignore.bboxes), 1).any(0)
        positive = middle.any(0)
        targets = points.new_zeros(len(points), 4)
        if len(boxes):
            # of the boxes (k,) whose central region has a location (P,), the smallest
            areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)[:, None]
            smallest = areas.where(middle, areas.new_tensor(torch.inf)).argmin(0)
            targets[positive] = boxes[smallest[positive]]
        return (~positive).long(), (positive | ~ignored).to(targets), targets
