"""Tiny tokenizers of several kinds, tiny models for them, and a brute force over tokenizations."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CORPUS = [
    "the other day they went there, and then the weather was their own\n\n\ndef other(x):\n    "
    "return x1 + 22\n\n\nclass Weather:\n    it's don't won't we're 1234 12 3\n",
    "  the  there\n\n the\n other\u00e9 \u00e9t\u00e9 \u4e2d\u6587 \u4e2d \U0001f600 then hot ten",
]
LLAMA3 = (
    r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def wrapped(inner, **special):
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def byte_level(pre=None, size=330, merges=None, corpus=CORPUS):
    """Byte-level BPE, trained or with given merges; GPT-2's split into words unless told."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: i for i, letter in enumerate(alphabet)}
    if merges is not None:
        vocab |= {a + b: 256 + i for i, (a, b) in enumerate(merges)}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=merges or []))
    inner.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if merges is None:
        inner.train_from_iterator(
            corpus, trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet)
        )
    inner.add_special_tokens(["<end>"])
    return wrapped(inner, eos_token="<end>")


def pieces():
    """Pieces with a dummy prefix and byte fallback, as sentencepiece makes them."""
    letters = sorted({c for text in CORPUS for c in text if c.isascii()} - {"\n", " "})
    words = ["\u2581", *letters, "\u00e9"]
    pairs = "t h,th e,_ the,e r,_ _,i n,_ t,the r,o t".replace("_", "\u2581")
    merges = [tuple(pair.split()) for pair in pairs.split(",")]
    vocab = {"<s>": 0, "</s>": 1} | {f"<0x{b:02X}>": 2 + b for b in range(256)}
    for word in [*words, *(a + b for a, b in merges)]:
        vocab.setdefault(word, len(vocab))
    inner = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token=None))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    inner.add_special_tokens(["<s>", "</s>"])
    return wrapped(inner, bos_token="<s>", eos_token="</s>")


def llama3():
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    end = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return byte_level(pre_tokenizers.Sequence([split, end]))


KINDS = {"gpt2": byte_level, "llama3": llama3, "pieces": pieces}


def tiny_model(tokenizer, seed=0, **changes):
    """A tiny Llama in float64 whose answers are far from flat."""
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**(shape | changes))).double().eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    return model


def bigram_model(table):
    """A model that answers with `table[last token]`: a residual stream that nothing adds to.

    The width is a power of four, so that the norm, which is taken in float32, is exact.
    """
    size = len(table)
    width = 4 ** math.ceil(math.log(size, 4))
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=2,
        rms_norm_eps=1e-300,
        bos_token_id=None,
        eos_token_id=size - 1,
    )
    model = LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(size, width))
        model.lm_head.weight[:, :size] = table.log().clamp(min=-1e6).T / width**0.5
    return model


class Brute:
    """Every token sequence that spells a text, weighed one by one; nothing is shared or cut."""

    def __init__(self, model, tokenizer, spelled, start, end, canonical=True):
        self.model, self.spelled, self.start, self.end = model, spelled, tuple(start), end
        self.inner = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.inner.encode_special_tokens = True
        self.canonical, self.known, self.answers = canonical, {}, {}

    def bytes(self, tokens):
        return b"".join(self.spelled[t] for t in tokens)

    def follows(self, tokens):
        """Whether a text goes on from these tokens; tried with all pairs of likely letters."""
        if not self.canonical:
            return True
        if tokens not in self.known:
            self.known[tokens] = any(
                tuple(self.inner.encode(text, add_special_tokens=False).ids[: len(tokens)])
                == tokens
                for text in self.texts(tokens)
            )
        return self.known[tokens]

    def texts(self, tokens):
        spelled = self.bytes(tokens).removeprefix(self.lead)
        try:
            whole = spelled.decode()
        except UnicodeDecodeError as error:
            if error.end < len(spelled) or "unexpected end" not in error.reason:
                return
            rest, options = spelled[: error.start].decode(), range(0x80, 0xC0)
            begun = spelled[error.start :]
            missing = (2 if begun[0] < 0xE0 else 3 if begun[0] < 0xF0 else 4) - len(begun)
            some = [options] + [(0x80, 0x98, 0xAD, 0xB8, 0xBF)] * (missing - 1)
            for more in itertools.product(*some):
                try:
                    yield rest + (begun + bytes(more)).decode()
                except UnicodeDecodeError:
                    continue
            return
        yield whole
        for size in (1, 2):
            for letters in itertools.product("aZ \n1.'\u00e9\u4e2d", repeat=size):
                yield whole + "".join(letters)

    @property
    def lead(self):
        ids = self.inner.encode("a", add_special_tokens=False).ids
        return self.bytes(ids).removesuffix(b"a")

    @torch.no_grad()
    def answer(self, tokens):
        """Probability of each token behind these, and of the end, canonical ones only."""
        if tokens not in self.answers:
            ids = torch.tensor([[*self.start, *tokens]])
            shares = self.model(ids, use_cache=False).logits[0, -1].softmax(-1).tolist()
            found = {t: shares[t] for t in self.spelled if self.follows((*tokens, t))}
            text = self.bytes(tokens).removeprefix(self.lead)
            stop = shares[self.end]
            if self.canonical:
                try:
                    ids = self.inner.encode(text.decode(), add_special_tokens=False).ids
                except UnicodeDecodeError:
                    ids = None
                stop = stop if ids is not None and tuple(ids) == tokens else 0.0
            total = sum(found.values()) + stop
            self.answers[tokens] = {t: p / total for t, p in found.items()}, stop / total
        return self.answers[tokens]

    def weigh(self, text, tokens=(), share=1.0):
        """P(text is a beginning), by all covers; and P(text is all there is)."""
        done = self.bytes(tokens)
        follow, stop = self.answer(tokens)
        begins, ends = (share, share * stop) if done == text else (0.0, 0.0)
        if done == text:
            return begins, ends
        rest = text[len(done) :]
        for token, p in follow.items():
            spelled = self.spelled[token]
            if spelled.startswith(rest) and spelled != rest:
                begins += share * p
            elif rest.startswith(spelled):
                more = self.weigh(text, (*tokens, token), share * p)
                begins, ends = begins + more[0], ends + more[1]
        return begins, ends

    def next(self, text):
        """The 257 probabilities of what follows."""
        text = self.lead + text
        whole, ends = self.weigh(text)
        found = [self.weigh(text + bytes([b]))[0] for b in range(256)]
        return torch.tensor([*found, ends], dtype=torch.float64) / whole


def brute(lm, model, tokenizer, **changes):
    """The brute force for the same model as a ByteLM; only what tokens spell is taken from it."""
    spelled = {int(i): s for i, s in zip(lm._trie.ids, lm._trie.spelled, strict=True)}
    return Brute(model, tokenizer, spelled, lm.start, tokenizer.eos_token_id, **changes)


@pytest.fixture(scope="session")
def lab():
    """What tests of bytes are made with; the tokenizers are made once."""
    return SimpleNamespace(
        kinds={name: make() for name, make in KINDS.items()},
        byte_level=byte_level,
        bigram=bigram_model,
        model=tiny_model,
        brute=brute,
        wrapped=wrapped,
    )
