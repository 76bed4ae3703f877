"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.bytes import ByteReader
from tokenry.method.drafter import Drafter, DraftView, TokenTree, Verified
from tokenry.method.editor import CacheEditor, EditPlan
from tokenry.method.judge import Figure, Findings, Judge, Usage
from tokenry.method.marked import MarkedPolicy, MarkedView
from tokenry.method.navigator import LIST, WAYS, Form, Navigator
from tokenry.method.packing import PackedAttention
from tokenry.method.policy import CachePolicy, KVView, Read, Slots
from tokenry.method.probe import Condition, Item, Measurement, Probe, Response, Score
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer
from tokenry.method.ring import SequenceRing, Visit
from tokenry.method.router import Call, Router
from tokenry.method.trainer import TokenizerTrainer
from tokenry.method.vocab import (
    EmbeddingRows,
    Embeddings,
    Learner,
    Move,
    Origin,
    Scribe,
    Vocab,
    VocabMap,
    WordVectors,
)

__all__ = [
    "LIST",
    "WAYS",
    "ByteReader",
    "CacheEditor",
    "CachePolicy",
    "Call",
    "Condition",
    "DraftView",
    "Drafter",
    "EditPlan",
    "EmbeddingRows",
    "Embeddings",
    "Figure",
    "Findings",
    "Form",
    "Heads",
    "In",
    "Item",
    "Judge",
    "KVView",
    "Keep",
    "LayerView",
    "Learner",
    "MarkedPolicy",
    "MarkedView",
    "Measurement",
    "Method",
    "Move",
    "Navigator",
    "Origin",
    "PackedAttention",
    "Probe",
    "Read",
    "Response",
    "Router",
    "Schedule",
    "Score",
    "Scribe",
    "SequenceRing",
    "Setting",
    "Slots",
    "TokenReducer",
    "TokenTree",
    "TokenizerTrainer",
    "Usage",
    "Verified",
    "Visit",
    "Vocab",
    "VocabMap",
    "WordVectors",
    "alternatives",
    "settings",
]
