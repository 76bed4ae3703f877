"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

from tokenry.retrieval.index_search import IndexSearch
from tokenry.retrieval.random_tokens import RandomTokens
from tokenry.retrieval.token_pooling import TokenPooling
from tokenry.retrieval.token_pruning import TokenPruning

__all__ = ["IndexSearch", "RandomTokens", "TokenPooling", "TokenPruning"]
