"""Search of ElixirNet's auto-lesion blocks: the encoder that is searched and its training loop."""

from .genotypes import count_genotypes, derive_genotype, sample_genotype, write_genotypes
from .search_encoder import Architecture, MixedOperation, SearchALBEncoder, SearchBlock
from .search_loop import ALBSearchLoop
from .search_strategies import SearchOptimWrapperConstructor

__all__ = [
    'ALBSearchLoop',
    'Architecture',
    'MixedOperation',
    'SearchALBEncoder',
    'SearchBlock',
    'SearchOptimWrapperConstructor',
    'count_genotypes',
    'derive_genotype',
    'sample_genotype',
    'write_genotypes',
]
