"""Relations between the regions of an image, and the transfer of features by them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn


class RegionGraph(nn.Module):
    """Graph over the regions of each image: equation 2 of ElixirNet, E = softmax(phi(X) phi(X)^T).

    The nodes are the regions, with self-loops; the weights of a region's incoming edges sum to 1.
    There are no edges between the regions of different images.

    As phi is not negative, the product is large for a region with large features, whatever region
    it is compared with: rows of E then resemble each other. With a ``temperature`` the features
    phi(X) are divided by their lengths, and a region receives from those that resemble it.

    Args:
        in_channels: Channels of the regions' features.
        temperature: Factor of the product of normalized features, as in mmdet's
            ``NormedLinear``. Defaults to None, equation 2: features as they are.
    """

    def __init__(self, in_channels: int, temperature: float | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.phi = nn.Linear(in_channels, max(in_channels // 2, 1))

    def forward(self, features: Tensor, num_regions: list[int]) -> list[Tensor]:
        """Compute the edges.

        Args:
            features: Features X (N, in_channels) of the regions, image after image.
            num_regions: Regions n of each image; they sum to N.

        Returns:
            list[Tensor]: E (n, n) of each image; row i contains the weights with which region i
                receives from each region.
        """
        nodes = self.phi(features).relu()
        # in half precision the products could overflow
        with torch.autocast(nodes.device.type, enabled=False):
            nodes = nodes.to(self.phi.weight.dtype)
            if self.temperature is not None:
                nodes = self.temperature**0.5 * F.normalize(nodes, dim=1)
            return [(node @ node.T).softmax(-1) for node in nodes.split(num_regions)]


class NonLocalRelation(nn.Module):
    """Non-local operator over the regions of each image (ElixirNet, section "Non-local Operator").

    Y = relu(E psi(X) W), to half of the channels, and a linear layer back. phi, psi and W are fully
    connected layers with ReLU. The paper writes it for features (N, D) without saying what becomes
    of a region's positions. Assumed here: E comes from the mean over the positions; psi, W and the
    last layer act at each position, and E mixes the features of the regions at the same position.

    Args:
        channels: Channels D of the regions' features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.graph = RegionGraph(channels)
        self.psi = nn.Conv2d(channels, inner, 1)
        self.weight = nn.Conv2d(inner, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor, num_regions: list[int]) -> Tensor:
        """Pass features along the edges of their own graph.

        Args:
            x: Features (N, D, h, w) of the regions, image after image.
            num_regions: Regions of each image; they sum to N.

        Returns:
            Tensor: (N, D, h, w).
        """
        return self.mix(x, self.relate(x, num_regions))

    def relate(self, x: Tensor, num_regions: list[int]) -> list[Tensor]:
        """Return E (n, n) of each image, of the mean of ``x`` over the positions."""
        return self.graph(x.mean((2, 3)), num_regions)

    def mix(self, x: Tensor, relations: list[Tensor]) -> Tensor:
        """Pass features ``x`` (N, D, h, w) along the edges ``relations``, E of each image."""
        psi = self.psi(x).relu().permute(0, 2, 3, 1)  # no copy in the encoder's memory format
        # E (n, n) @ (n, h * w * channels): the same position of all regions of an image is mixed
        images = psi.flatten(1).split(list(map(len, relations)))
        mixed = torch.cat(list(map(torch.matmul, relations, images)))
        regions = mixed.view_as(psi).permute(0, 3, 1, 2)
        return self.out(self.weight(regions).relu())


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
        init_cfg: OptMultiConfig = None,
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
