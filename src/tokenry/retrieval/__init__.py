"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.binding_precedent import BindingPrecedent
from tokenry.retrieval.bm25 import Bm25
from tokenry.retrieval.chunk_metrics import ChunkMetrics
from tokenry.retrieval.cluster_chunks import ClusterChunks
from tokenry.retrieval.dupmae import DupMAE
from tokenry.retrieval.fixed_chunks import FixedChunks
from tokenry.retrieval.headlines import Headlines
from tokenry.retrieval.in_batch import InBatch
from tokenry.retrieval.index_search import IndexSearch
from tokenry.retrieval.kamradt_chunks import KamradtChunks
from tokenry.retrieval.maxsim import MaxSim
from tokenry.retrieval.mirror_bert import MirrorBert
from tokenry.retrieval.muser import Muser
from tokenry.retrieval.orma import Orma
from tokenry.retrieval.plaid import Plaid
from tokenry.retrieval.pooled_vector import PooledVector
from tokenry.retrieval.random_tokens import RandomTokens
from tokenry.retrieval.recursive_chunks import RecursiveChunks
from tokenry.retrieval.same_style import SameStyle
from tokenry.retrieval.section_chunks import SectionChunks
from tokenry.retrieval.sentence_chunks import SentenceChunks
from tokenry.retrieval.token_pooling import TokenPooling
from tokenry.retrieval.token_pruning import TokenPruning
from tokenry.retrieval.vacancysbert import VacancySBERT
from tokenry.retrieval.warp import Warp
from tokenry.retrieval.xtr import XTR

__all__ = [
    "XTR",
    "BindingPrecedent",
    "Bm25",
    "ChunkMetrics",
    "ClusterChunks",
    "DupMAE",
    "FixedChunks",
    "Headlines",
    "InBatch",
    "IndexSearch",
    "KamradtChunks",
    "MaxSim",
    "MirrorBert",
    "Muser",
    "Orma",
    "Plaid",
    "PooledVector",
    "RandomTokens",
    "RecursiveChunks",
    "SameStyle",
    "SectionChunks",
    "SentenceChunks",
    "TokenPooling",
    "TokenPruning",
    "VacancySBERT",
    "Warp",
]
