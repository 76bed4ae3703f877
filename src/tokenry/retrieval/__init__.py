"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.in_batch import InBatch
from tokenry.retrieval.mirror_bert import MirrorBert

__all__ = ["InBatch", "MirrorBert"]
