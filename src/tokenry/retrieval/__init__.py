"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.bm25 import Bm25
from tokenry.retrieval.dupmae import DupMAE
from tokenry.retrieval.in_batch import InBatch
from tokenry.retrieval.maxsim import MaxSim
from tokenry.retrieval.mirror_bert import MirrorBert
from tokenry.retrieval.pooled_vector import PooledVector
from tokenry.retrieval.same_style import SameStyle
from tokenry.retrieval.vacancysbert import VacancySBERT
from tokenry.retrieval.warp import Warp
from tokenry.retrieval.xtr import XTR

__all__ = [
    "XTR",
    "Bm25",
    "DupMAE",
    "InBatch",
    "MaxSim",
    "MirrorBert",
    "PooledVector",
    "SameStyle",
    "VacancySBERT",
    "Warp",
]
