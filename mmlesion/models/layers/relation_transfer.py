"""Relation transfer of ElixirNet."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class RelationTransferModule(BaseModule):
    """Transfer lesion semantics along the relations of the regions.

    ElixirNet, section "Relation Transfer Module": f_E = E Gamma M W_E. M, the weights and biases of
    a binary classifier of lesions, describes its two classes. Gamma maps them to the regions by the
    softmax of the regions' binary scores. E are the relations between the regions of an image, W_E
    a learned matrix.

    Args:
        in_channels: Channels P of the binary classifier's input features.
        out_channels: Channels of f_E. Defaults to 128.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_channels = out_channels
        self.transform = nn.Linear(in_channels + 1, out_channels, bias=False)

    def forward(
        self, relations: list[Tensor], binary_score: Tensor, classifier: nn.Linear
    ) -> Tensor:
        """Compute the transferred features.

        Args:
            relations: E (n, n) of each image.
            binary_score: Scores (N, 2) of the regions, image after image.
            classifier: The layer, P to 2, that computed the scores. Its parameters are
                detached: the transferred features do not train them through M.

        Returns:
            Tensor: f_E (N, out_channels).
        """
        # M (2, P + 1); M W_E is mapped to the regions first, which are more than the classes
        embeddings = torch.cat([classifier.weight, classifier.bias[:, None]], 1).detach()
        mapped = binary_score.softmax(-1) @ self.transform(embeddings)
        regions = mapped.split(list(map(len, relations)))
        return torch.cat(list(map(torch.matmul, relations, regions)))
