"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.bm25 import Bm25
from tokenry.retrieval.maxsim import MaxSim
from tokenry.retrieval.pooled_vector import PooledVector
from tokenry.retrieval.warp import Warp

__all__ = ["Bm25", "MaxSim", "PooledVector", "Warp"]
