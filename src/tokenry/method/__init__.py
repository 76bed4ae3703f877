"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.batching import BatchMerger, MergedBatch
from tokenry.method.bytes import ByteReader
from tokenry.method.chunker import Chunker, ChunkMeasure, ChunkScores, Document, Embed
from tokenry.method.coder import TextCoder
from tokenry.method.drafter import Drafter, DraftView, TokenTree, Verified
from tokenry.method.editor import CacheEditor, EditPlan
from tokenry.method.finder import Finder, ThemeFinder, Train
from tokenry.method.index_reducer import IndexReducer, TokensView
from tokenry.method.judge import Figure, Findings, Judge, Usage
from tokenry.method.late import LateScorer, Prepared, Reads
from tokenry.method.linker import (
    Aids,
    Linker,
    Matcher,
    PresentMatcher,
    Referee,
    Scored,
    Side,
)
from tokenry.method.marked import MarkedPolicy, MarkedView
from tokenry.method.navigator import LIST, WAYS, Form, Navigator
from tokenry.method.objective import Batch, DuplexObjective, Losses, Objective, PairObjective
from tokenry.method.packing import PackedAttention
from tokenry.method.pairs import Groups, PairMaker, Record
from tokenry.method.policy import CachePolicy, KVView, Read, Slots
from tokenry.method.pooling import Pooling
from tokenry.method.probe import Condition, Item, Measurement, Probe, Response, Score
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer
from tokenry.method.ring import SequenceRing, Visit
from tokenry.method.router import Call, Router
from tokenry.method.rows import RowSampler
from tokenry.method.search_plan import SearchPlan
from tokenry.method.trainer import END, TokenizerTrainer
from tokenry.method.views import Label, ViewRanker, Views
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
    "END",
    "LIST",
    "WAYS",
    "Aids",
    "Batch",
    "BatchMerger",
    "ByteReader",
    "CacheEditor",
    "CachePolicy",
    "Call",
    "ChunkMeasure",
    "ChunkScores",
    "Chunker",
    "Condition",
    "Document",
    "DraftView",
    "Drafter",
    "DuplexObjective",
    "EditPlan",
    "Embed",
    "EmbeddingRows",
    "Embeddings",
    "Figure",
    "Finder",
    "Findings",
    "Form",
    "Groups",
    "Heads",
    "In",
    "IndexReducer",
    "Item",
    "Judge",
    "KVView",
    "Keep",
    "Label",
    "LateScorer",
    "LayerView",
    "Learner",
    "Linker",
    "Losses",
    "MarkedPolicy",
    "MarkedView",
    "Matcher",
    "Measurement",
    "MergedBatch",
    "Method",
    "Move",
    "Navigator",
    "Objective",
    "Origin",
    "PackedAttention",
    "PairMaker",
    "PairObjective",
    "Pooling",
    "Prepared",
    "PresentMatcher",
    "Probe",
    "Read",
    "Reads",
    "Record",
    "Referee",
    "Response",
    "Router",
    "RowSampler",
    "Schedule",
    "Score",
    "Scored",
    "Scribe",
    "SearchPlan",
    "SequenceRing",
    "Setting",
    "Side",
    "Slots",
    "TextCoder",
    "ThemeFinder",
    "TokenReducer",
    "TokenTree",
    "TokenizerTrainer",
    "TokensView",
    "Train",
    "Usage",
    "Verified",
    "ViewRanker",
    "Views",
    "Visit",
    "Vocab",
    "VocabMap",
    "WordVectors",
    "alternatives",
    "settings",
]
