"""What dynamic tokenization claims, on small models and real text."""

import copy
import json
import math
import random
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from tokenry.data.manpages import FOLDER
from tokenry.ops.reductions import mean_lengths, merges_for
from tokenry.plugs.dynamic import DynamicCollator
from tokenry.plugs.extension import freeze, longest_prefix
from tokenry.plugs.neighbours import neighbour_head
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import DynamicTokenization, Zett

TINY = Path(__file__).parent / "tiny_zett"
ZETT = Zett(hypernetwork=str(TINY / "hypernetwork"))
PAGES = [json.loads(page) for page in (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY / "model")


def paragraphs(tokenizer):
    """Paragraphs of manual pages, to be told which of six packages they are from."""
    sizes = Counter()
    for page in PAGES:
        sizes[page["package"]] += len(page["text"])
    names = [name for name, _ in sizes.most_common(6)]
    rows = [
        (" ".join(part.split()), names.index(page["package"]))
        for page in PAGES
        if page["package"] in names
        for part in page["text"].split("\n\n")
        if 80 < len(part) < 400
    ]
    random.Random(0).shuffle(rows)
    few = [row for label in range(6) for row in [r for r in rows if r[1] == label][:260]]
    random.Random(1).shuffle(few)
    ids = tokenizer([text for text, _ in few])["input_ids"]
    found = [
        {"input_ids": one[:120], "labels": label} for one, (_, label) in zip(ids, few, strict=True)
    ]
    return found[: len(found) // 2], found[len(found) // 2 :]


def classifier(tokenizer, train, steps=250):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=1,
        num_attention_heads=4, num_labels=6, max_position_embeddings=128, initializer_range=0.1,
    )  # fmt: skip
    model, draw = BertForSequenceClassification(config), random.Random(2)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(steps):
        some = draw.sample(train, 24)
        ids = pad_sequence([torch.tensor(one["input_ids"]) for one in some], True, -1)
        labels = torch.tensor([one["labels"] for one in some])
        optimizer.param_groups[0]["lr"] = 3e-3 * math.cos(step / steps * math.pi / 2)
        optimizer.zero_grad()
        model(ids.clamp(min=0), attention_mask=(ids >= 0).long(), labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


METHOD = DynamicTokenization(boundary="word", merges=1_000_000)


@pytest.fixture(scope="module")
def told(tokenizer):
    """A classifier, what it learned from, batches after so many merges, and how long they are."""
    train, test = paragraphs(tokenizer)
    vocab, batches = vocabulary(tokenizer), [test[i : i + 32] for i in range(0, len(test), 32)]
    ids = [[one["input_ids"] for one in batch] for batch in batches]
    table = mean_lengths([METHOD.merge(batch, vocab).lengths for batch in ids])
    model = classifier(tokenizer, train)

    @cache
    def made(merges):
        return list(map(DynamicCollator(model, tokenizer, METHOD, merges=merges), batches))

    return model, train, made, table


@torch.no_grad()
def right(model, batches):
    """How many paragraphs are told right."""
    return sum(int((model(**one).logits.argmax(-1) == one["labels"]).sum()) for one in batches)


@pytest.mark.slow
def test_claim_a_fifth_shorter_costs_less_than_whole_words(told):
    model, _, made, table = told
    none, some, words = (merges_for(table, share) for share in (0.0, 0.33, 1.0))
    assert table[some] / table[none] == pytest.approx(0.8, abs=0.03)
    found = [right(model, made(merges)) for merges in (none, some, words)]
    assert found[0] > found[1] > found[2]


@pytest.mark.slow
def test_claim_adaptation_wins_back_what_whole_words_lose(tokenizer, told):
    given, train, made, table = told
    model, words, draw = copy.deepcopy(given), merges_for(table, 1.0), random.Random(5)
    model.get_input_embeddings().requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    collator = DynamicCollator(model, tokenizer, METHOD, merges=(0, words))
    torch.manual_seed(0)
    model.train()
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 1e-3 * math.cos(step / 150 * math.pi / 2)
        optimizer.zero_grad()
        model(**collator(draw.sample(train, 24))).loss.backward()
        optimizer.step()
    model.eval()
    # Rows are frozen, so both models read the same batches.
    before, after = (right(one, made(words)) for one in (given, model))
    plain, still = (right(one, made(0)) for one in (given, model))
    print(plain, before, still, after)
    assert after > before + 0.4 * (plain - before)
    assert still > plain - 10


@pytest.mark.slow
@torch.no_grad()
def test_claim_neighbours_hold_the_best_token(tokenizer):
    """A vocabulary of seven thousand tokens, of which twenty are scored."""
    model = AutoModelForCausalLM.from_pretrained(TINY / "model", dtype=torch.float32).eval()
    ids = [tokenizer(page["text"])["input_ids"] for page in PAGES[8:]]
    merged = DynamicTokenization(merges=6000).merge(ids, vocabulary(tokenizer))
    frozen = freeze(model, tokenizer, merged, ZETT)
    greedy, held, count = longest_prefix(frozen.tokenizer), 0, 0
    with neighbour_head(frozen.model) as head:
        for page in PAGES[:8]:
            text = torch.tensor([[0, *greedy(page["text"][:1500])["input_ids"]][:200]])
            hidden = frozen.model.model(text).last_hidden_state[0]
            best = head.head(hidden).argmax(-1)
            held += int((head.nearest(hidden) == best[:, None]).any(1).sum())
            count += len(best)
    print(held, count)
    assert held / count > 0.95
