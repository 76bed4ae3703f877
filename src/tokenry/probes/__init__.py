"""Probes: texts with exact answers that show what a model does with its tokens."""

from tokenry.probes.multilingual_lm import MultilingualLM
from tokenry.probes.needle_threading import NeedleThreading
from tokenry.probes.verbatim_memory import VerbatimMemory

__all__ = ["MultilingualLM", "NeedleThreading", "VerbatimMemory"]
