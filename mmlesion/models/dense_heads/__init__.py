"""Dense heads: region proposal networks and one-stage heads."""

from .anchor_free_proposal_head import AnchorFreeProposalHead
from .light_p2_retina_head import LightP2RetinaHead
from .proposal_ensemble import ProposalEnsemble
from .sphere_rpn_head import SphereRPNHead
from .truncated_rpn_head import TruncatedRPNHead

__all__ = [
    'AnchorFreeProposalHead',
    'LightP2RetinaHead',
    'ProposalEnsemble',
    'SphereRPNHead',
    'TruncatedRPNHead',
]
