"""How a method of each contract is used: the call to begin with, and the page that goes on."""

from __future__ import annotations

from tokenry.method.base import Method
from tokenry.method.batching import BatchMerger
from tokenry.method.bytes import ByteReader
from tokenry.method.chunker import Chunker, ChunkMeasure
from tokenry.method.coder import TextCoder
from tokenry.method.drafter import Drafter
from tokenry.method.editor import CacheEditor
from tokenry.method.finder import ThemeFinder
from tokenry.method.index_reducer import IndexReducer
from tokenry.method.judge import Judge
from tokenry.method.late import LateScorer
from tokenry.method.linker import Linker
from tokenry.method.marked import MarkedPolicy
from tokenry.method.navigator import Navigator
from tokenry.method.objective import DuplexObjective, Objective, PairObjective
from tokenry.method.packing import PackedAttention
from tokenry.method.pairs import PairMaker
from tokenry.method.policy import CachePolicy
from tokenry.method.pooling import Pooling
from tokenry.method.probe import Probe
from tokenry.method.reducer import TokenReducer
from tokenry.method.ring import SequenceRing
from tokenry.method.router import Router
from tokenry.method.rows import RowSampler
from tokenry.method.search_plan import SearchPlan
from tokenry.method.trainer import TokenizerTrainer
from tokenry.method.views import ViewRanker
from tokenry.method.vocab import VocabMap

_ATTACH = 'tokenry.attach(model, "{}")'
_CHUNKS = "tokenry.chunks(documents, questions, "
_SEARCH = 'tokenry.compare("zoo:minilm-l6", ["{}"], collection)'

_USES: dict[type[Method], tuple[str, str]] = {
    BatchMerger: (
        "tokenry.plugs.dynamic.DynamicCollator(model, tokenizer)",
        "how-to/tokens-per-batch",
    ),
    ByteReader: ("tokenry.plugs.bytes.ByteLM(model, tokenizer)", "how-to/decode-by-bytes"),
    CacheEditor: (
        "tokenry.plugs.editing.EditableCache(model, tokenizer, text)",
        "how-to/edit-a-prompt",
    ),
    CachePolicy: ('tokenry.attach(model, "{}", keep=0.5)', "how-to/long-context"),
    ChunkMeasure: (f'{_CHUNKS}metric="{{}}")', "how-to/choose-chunks"),
    Chunker: (f'{_CHUNKS}chunkers=["{{}}"])', "how-to/choose-chunks"),
    Drafter: (_ATTACH, "how-to/faster-generation"),
    DuplexObjective: ("", "how-to/tune-an-encoder"),
    IndexReducer: (_SEARCH, "how-to/compare-rankers"),
    Judge: ('tokenry.audit(tokenizer, texts, ["{}"])', "how-to/language-costs"),
    LateScorer: (_SEARCH, "how-to/compare-rankers"),
    Linker: ('tokenry.link(left, right, on="name", method="{}")', "how-to/link-two-tables"),
    MarkedPolicy: (_ATTACH, "how-to/landmark"),
    Navigator: (
        "tokenry.plugs.exploring.explore(model, tokenizer, question)",
        "how-to/many-answers",
    ),
    Objective: ("", "how-to/similar-records"),
    PackedAttention: ("", "how-to/pack-documents"),
    PairMaker: ("", "how-to/similar-records"),
    PairObjective: ('tokenry.plugs.tuning.tune(encoder, pairs, "{}")', "how-to/tune-an-encoder"),
    Pooling: ("", "how-to/pool-words"),
    Probe: ('tokenry.probe(model, "{}")', "how-to/probe-memory"),
    Router: ("tokenry.plugs.routing.TokenRouter(model, tokenizer, graph)", "how-to/route-queries"),
    RowSampler: (_ATTACH, "how-to/rename-symbols"),
    SearchPlan: (_SEARCH, "how-to/compare-rankers"),
    SequenceRing: ("", "how-to/ring-attention"),
    TextCoder: ('tokenry.plugs.coding.CodedTokenizer(predictor, "{}")', "how-to/train-a-tokenizer"),
    ThemeFinder: ("", "how-to/similar-records"),
    TokenReducer: ('tokenry.attach(model, "{}", keep=0.75)', "tutorials/switch-on"),
    TokenizerTrainer: (
        'tokenry.plugs.learning.train_tokenizer(texts, "{}", out="folder")',
        "how-to/train-a-tokenizer",
    ),
    ViewRanker: ("", "how-to/similar-records"),
    VocabMap: (
        'tokenry.transplant(model, tokenizer, new_tokenizer, "{}", texts=texts)',
        "how-to/another-tokenizer",
    ),
}


def use(cls: type[Method]) -> tuple[str, str]:
    """The call that a method of this class is used by, and the page that goes on from it.

    Either is empty where there is none; the page is one of `docs`. Of several contracts the first
    that it inherits counts.

    >>> from tokenry.vision import ToMe
    >>> use(ToMe)[0]
    'tokenry.attach(model, "tome", keep=0.75)'
    """
    for base in cls.__mro__:
        if base in _USES:
            call, page = _USES[base]
            return call.format(cls.card.slug), page
    return "", ""
