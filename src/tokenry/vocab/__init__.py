"""Vocabularies: judging them, learning them, moving a model to another one."""

from tokenry.vocab.biomedical_morphemes import BiomedicalMorphemes
from tokenry.vocab.glitch import Glitch
from tokenry.vocab.parity import Parity
from tokenry.vocab.qtok import Qtok
from tokenry.vocab.token_purity import TokenPurity
from tokenry.vocab.visual_language import VisualLanguage

__all__ = ["BiomedicalMorphemes", "Glitch", "Parity", "Qtok", "TokenPurity", "VisualLanguage"]
