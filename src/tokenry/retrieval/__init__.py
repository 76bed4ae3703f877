"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.dupmae import DupMAE
from tokenry.retrieval.in_batch import InBatch
from tokenry.retrieval.mirror_bert import MirrorBert
from tokenry.retrieval.same_style import SameStyle
from tokenry.retrieval.vacancysbert import VacancySBERT
from tokenry.retrieval.xtr import XTR

__all__ = ["XTR", "DupMAE", "InBatch", "MirrorBert", "SameStyle", "VacancySBERT"]
