"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from tokenry.linking.linktransformer import LinkTransformer
from tokenry.linking.online_contrastive import OnlineContrastive
from tokenry.linking.supcon import SupCon

__all__ = ["LinkTransformer", "OnlineContrastive", "SupCon"]
