"""Fewer image tokens: methods that merge or drop tokens inside a vision encoder."""

from tokenry.vision.attentive_mask import AttentiveMask
from tokenry.vision.grid import Grid
from tokenry.vision.pitome import PiToMe
from tokenry.vision.pool import Pool
from tokenry.vision.random import Random
from tokenry.vision.resize import Resize
from tokenry.vision.tokencorr import TokenCorr
from tokenry.vision.tome import ToMe
from tokenry.vision.zero_tprune import ZeroTPrune

__all__ = [
    "AttentiveMask",
    "Grid",
    "PiToMe",
    "Pool",
    "Random",
    "Resize",
    "ToMe",
    "TokenCorr",
    "ZeroTPrune",
]
