"""The paper's effects on models that are trained here: an induction transformer and a GRU."""

import random
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tokenry
from tokenry.probes import VerbatimMemory
from tokenry.probes.stimuli import base_lists

pytestmark = pytest.mark.slow

PROBE = VerbatimMemory(context="short", lengths=(10,))
STEPS, BATCH, WIDTH = 1100, 48, 64


class Recurrent(nn.Module):
    """A two-layer GRU language model."""

    def __init__(self, vocabulary, hidden):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, WIDTH)
        self.core = nn.GRU(WIDTH, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=self.head(self.core(self.embed(input_ids))[0]))


@pytest.fixture(scope="module")
def tokenizer():
    """One token for each word; commas are skipped."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    text = " ".join(item.text for item in PROBE.items())
    for mark in ".:,":
        text = text.replace(mark, f" {mark if mark != ',' else ''} ")
    vocabulary = {word: i for i, word in enumerate(sorted(set(text.split())))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="."))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(",", "removed"),
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def batches(tokenizer, seed):
    """Two lists of ten nouns after random words: repeated, permuted, or unrelated."""
    rng = random.Random(seed)
    ids = tokenizer.get_vocab()
    nouns = [ids[noun] for nouns in base_lists("semantic") for noun in nouns]
    counted = set(nouns)
    others = sorted(set(ids.values()) - counted)
    for _ in range(STEPS):
        rows, targets = [], []
        for _ in range(BATCH):
            first, kind = rng.sample(nouns, 10), rng.random()
            second = first if kind < 0.4 else rng.sample(first if kind < 0.6 else nouns, 10)
            row = []
            for part in (first, second):
                row += [*rng.choices(others, k=rng.randint(1, 4)), ids[":"], *part, ids["."]]
            row += [ids["."]] * (32 - len(row))
            rows.append(row)
            targets.append([token if token in counted else -100 for token in row])
        yield torch.tensor(rows), torch.tensor(targets)


def trained(model, tokenizer):
    """The model after `STEPS` batches."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS, pct_start=0.1)
    for rows, targets in batches(tokenizer, seed=0):
        logits = model(input_ids=rows).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def size(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.fixture(scope="module")
def transformer(tokenizer):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.1,
        **shape,
        **heads,
    )
    return trained(LlamaForCausalLM(config), tokenizer)


@pytest.fixture(scope="module")
def recurrent(tokenizer):
    torch.manual_seed(0)
    return trained(Recurrent(len(tokenizer), hidden=72), tokenizer)


def medians(model, tokenizer):
    """Median repeat surprisal of each kind of second list."""
    found = tokenry.probe(
        model, PROBE, tokenizer=tokenizer, batch_size=64, query="aware", progress=False
    )
    print(found)
    return {group.conditions["second"]: group.score.value for group in found.summary()}


@pytest.fixture
def shuffled(transformer):
    """The transformer with each query's attention weights in random order."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    source = torch.Generator().manual_seed(0)

    def attend(module, query, key, value, attention_mask, scaling, **_):
        weights = (query @ key.transpose(2, 3) * scaling + attention_mask).softmax(-1)
        t = weights.shape[-1]
        noise = torch.rand(weights.shape, generator=source)
        future = torch.ones(t, t, dtype=torch.bool).triu(1)
        order = noise.masked_fill(future, 2).argsort(-1)
        weights = weights.gather(-1, order).masked_fill(future, 0)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    AttentionInterface.register("shuffled-for-test", attend)
    AttentionMaskInterface.register("shuffled-for-test", eager_mask)
    before = transformer.config._attn_implementation
    transformer.set_attn_implementation("shuffled-for-test")
    yield transformer
    transformer.set_attn_implementation(before)


def test_claim_a_transformer_remembers_words_and_their_order(transformer, tokenizer):
    found = medians(transformer, tokenizer)
    assert found["repeat"] < 30
    assert found["repeat"] + 30 < found["permute"] < found["novel"]
    assert 90 < found["novel"] < 125


def test_claim_a_gru_of_its_size_remembers_less(recurrent, transformer, tokenizer):
    assert 0.9 < size(recurrent) / size(transformer) < 1.1
    weaker, stronger = medians(recurrent, tokenizer), medians(transformer, tokenizer)
    assert weaker["repeat"] > 2 * stronger["repeat"]
    assert weaker["novel"] - weaker["repeat"] < stronger["novel"] - stronger["repeat"]


def test_claim_without_its_attention_pattern_nothing_is_remembered(shuffled, tokenizer):
    found = medians(shuffled, tokenizer)
    assert 85 < found["repeat"] < 115
    assert abs(found["repeat"] - found["novel"]) < 15
