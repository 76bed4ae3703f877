"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.bm25 import Bm25
from tokenry.retrieval.index_search import IndexSearch
from tokenry.retrieval.maxsim import MaxSim
from tokenry.retrieval.pooled_vector import PooledVector
from tokenry.retrieval.random_tokens import RandomTokens
from tokenry.retrieval.token_pooling import TokenPooling
from tokenry.retrieval.token_pruning import TokenPruning
from tokenry.retrieval.warp import Warp

__all__ = [
    "Bm25",
    "IndexSearch",
    "MaxSim",
    "PooledVector",
    "RandomTokens",
    "TokenPooling",
    "TokenPruning",
    "Warp",
]
