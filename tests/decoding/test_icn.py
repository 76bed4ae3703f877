"""ICN: its rule against loops, its rounds against brute force, and its claims."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenry.decoding import ICN
from tokenry.method import Form
from tokenry.plugs.exploring import explore

SHORT = Form("{question}:", " {number}(", ")", ")", 5)
MANY = settings(deadline=None, max_examples=80)
TEXTS = st.sampled_from(["a", " a", "b", "B ", "", " ", "\n", ")", " )x", "c", "dd"])


def by_loops(ranking, probed, count):
    """One token after the other."""
    seen, chosen = [p.strip() for p in probed], []
    for token, text in ranking:
        name = text.strip()
        if len(chosen) == count:
            break
        if name == "" or name[0] == ")" or name in seen:
            continue
        seen.append(name)
        chosen.append(token)
    return chosen


@MANY
@given(st.lists(TEXTS, max_size=20), st.lists(TEXTS, max_size=4), st.integers(1, 6))
def test_first_tokens_equal_loops(texts, probed, count):
    ranking = list(enumerate(texts))
    for per_round in (1, 3, 10):
        rule = ICN(per_round=per_round)
        expected = by_loops(ranking, probed, min(count, per_round))
        assert rule.first_tokens(iter(ranking), probed, count, ")") == expected


def test_each_answer_is_shown_once_and_baselines_show_none():
    assert ICN().shown(["x", "y", "x"]) == ("x", "y")
    assert ICN(strategy="top").shown(["x"]) == ICN(strategy="sample").shown(["x"]) == ()


@pytest.fixture(scope="module")
def exact(language):
    """A tiny model in float64 and its tokenizer of bytes."""
    loaded = language()
    return loaded.model.double(), loaded.processor


@torch.no_grad()
def last_scores(model, tokenizer, text):
    """Scores after a text, encoded as a whole and without a cache."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    return model(ids, use_cache=False).logits[0, -1]


def named(tokenizer, token):
    """The text of a token; part of a character goes by its name."""
    name = tokenizer.decode([token], skip_special_tokens=True)
    return tokenizer.convert_ids_to_tokens(token) if "\ufffd" in name else name.strip()


def brute_force(model, tokenizer, question, count, per_round, form, steer):
    """Every prompt and every completion encoded anew, token by token."""
    found, answers, number = [], [], 0
    while len(found) < count:
        number += 1
        scores = last_scores(
            model, tokenizer, form.write(question, list(dict.fromkeys(answers)) if steer else [])
        )
        tried = {named(tokenizer, token) for token, *_ in found}
        new = 0
        for rank, token in enumerate(scores.argsort(descending=True).tolist(), 1):
            name = named(tokenizer, token)
            if new == per_round or len(found) == count:
                break
            if not name or name.startswith(form.closing) or name in tried:
                continue
            tried.add(name)
            ids = [token]
            while len(ids) < form.length and form.closing not in tokenizer.decode(ids):
                prompt = tokenizer(form.write(question))["input_ids"]
                with torch.no_grad():
                    scored = model(torch.tensor([prompt + ids]), use_cache=False).logits[0, -1]
                ids.append(int(scored.argmax()))
                if ids[-1] == tokenizer.eos_token_id:
                    ids.pop()
                    break
            text = tokenizer.decode(ids).partition(form.closing)[0].strip()
            found.append((token, text, rank, number))
            answers += [text] if text else []
            new += 1
    return found


@pytest.mark.parametrize("strategy", ["icn", "top"])
@pytest.mark.parametrize("per_round", [1, 4])
def test_rounds_equal_brute_force(exact, strategy, per_round):
    model, tokenizer = exact
    rule = ICN(strategy=strategy, per_round=per_round)
    found = explore(model, tokenizer, "Name a bird", 10, rule, form=SHORT)
    expected = brute_force(model, tokenizer, "Name a bird", 10, per_round, SHORT, strategy == "icn")
    assert [(a.token, a.text, a.rank, a.round) for a in found.answers] == expected
    first = [answer.first.strip() for answer in found.answers]
    assert len(set(first)) == len(first) == 10


def test_without_answers_in_the_prompt_it_is_the_baseline(exact):
    model, tokenizer = exact
    one = explore(model, tokenizer, "Name a bird", 8, form=SHORT, per_round=8)
    top = explore(model, tokenizer, "Name a bird", 8, form=SHORT, strategy="top", per_round=3)
    assert [(a.token, a.text) for a in one.answers] == [(a.token, a.text) for a in top.answers]
    more = explore(model, tokenizer, "Name a bird", 8, form=SHORT, per_round=4)
    assert [a.token for a in more.answers] != [a.token for a in top.answers]


def test_where_the_context_is_ignored_it_equals_the_baseline(language):
    loaded = language()
    with torch.no_grad():  # all tokens look alike, so that no context tells from another
        loaded.model.get_input_embeddings().weight[:] = 0.3
    pair = loaded.model.double(), loaded.processor
    found = explore(*pair, "Name a bird", 12, form=SHORT, per_round=3)
    top = explore(*pair, "Name a bird", 12, form=SHORT, strategy="top")
    assert [(a.token, a.text) for a in found.answers] == [(a.token, a.text) for a in top.answers]
    assert found.shifts == pytest.approx([0, 0, 0], abs=1e-9)


def test_shifts_are_differences_of_scores(exact):
    model, tokenizer = exact
    found = explore(model, tokenizer, "Name a bird", 6, form=SHORT, per_round=3)
    answers = found.answers[:3]
    prompts = SHORT.write("Name a bird"), SHORT.write("Name a bird", [a.text for a in answers])
    without, within = (last_scores(model, tokenizer, text) for text in prompts)
    expected = np.mean([float(within[a.token] - without[a.token]) for a in answers])
    assert found.shifts == pytest.approx([expected], abs=1e-5)


def test_draws_follow_the_model(language):
    loaded = language()
    model, tokenizer = loaded.model, loaded.processor
    one = Form("{question}:", " {number}(", ")", ")", 1)
    chances = last_scores(model, tokenizer, one.write("Name a bird")).softmax(-1)
    found = explore(model, tokenizer, "Name a bird", 4000, form=one, strategy="sample")
    counts = torch.bincount(torch.tensor([a.token for a in found.answers]), minlength=257)
    # Distance between the empirical and the exact distribution; its mean over 2000 simulations
    # of 4000 draws from 257 tokens stays far below this.
    assert float((counts / 4000 - chances).abs().sum()) < 0.25
    again = explore(model, tokenizer, "Name a bird", 9, form=SHORT, strategy="sample", seed=3)
    assert again == explore(
        model, tokenizer, "Name a bird", 9, form=SHORT, strategy="sample", seed=3
    )


# --- claims -----------------------------------------------------------------------------------

SIZE, KINDS = 100, 4
COMMAS = Form("{question}:", " ", ",", ",", 3)


def category_lists(rng, count, length):
    """Lists of different items of one of four kinds, the i-th drawn with a weight of i^-1.5."""
    weights = np.arange(1, SIZE + 1) ** -1.5
    lists = []
    for kind in rng.integers(KINDS, size=count):
        items = rng.choice(SIZE, length, replace=False, p=weights / weights.sum())
        lists.append(COMMAS.write(f"q{kind}", [f"w{kind}x{i}" for i in items]).rstrip())
    return lists


@pytest.fixture(scope="module")
def toy():
    """A model of two layers that has read such lists, 5 to 59 items long."""
    items = [f"w{kind}x{i}" for kind in range(KINDS) for i in range(SIZE)]
    words = ["<pad>", ":", " ", ",", *(f"q{kind}" for kind in range(KINDS)), *items]
    vocabulary = {word: i for i, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|\W"), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>")
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=500)
    rng = np.random.default_rng(0)
    for _ in range(500):
        ids = torch.tensor(tokenizer(category_lists(rng, 16, rng.integers(5, 60)))["input_ids"])
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval(), tokenizer


@pytest.mark.slow
def test_claim_finds_the_rare_items(toy):
    counts = {}
    for strategy in ("icn", "top"):
        counts[strategy] = 0
        for kind in range(KINDS):
            found = explore(*toy, f"q{kind}", 100, form=COMMAS, strategy=strategy)
            counts[strategy] += sum(name.startswith(f"w{kind}x") for name in found.distinct)
    assert counts["icn"] > counts["top"]


GOLD = json.loads((Path(__file__).parent / "gold.json").read_text(encoding="utf-8"))


def right(answers, gold):
    """The accepted ones among some answers, each once."""
    bare = (answer.lower().strip(" .") for answer in answers)
    names = {name.removeprefix("the ").removeprefix("a ").removeprefix("an ") for name in bare}
    return names & set(gold)


@pytest.mark.slow
def test_claim_finds_more_right_answers(smollm2):
    counts = {"icn": 0, "top": 0}
    for question in ("Name a country.", "Name an animal.", "Name a color."):
        for strategy in counts:
            found = explore(smollm2.model, smollm2.processor, question, 30, strategy=strategy)
            counts[strategy] += len(right(found.distinct, GOLD[question]))
    assert counts["icn"] > counts["top"]


@pytest.mark.slow
def test_claim_the_query_moves_away_from_explored_keys(smollm2):
    shifts = [
        explore(smollm2.model, smollm2.processor, question, 11).shifts[0] for question in GOLD
    ]
    assert wilcoxon(shifts, alternative="less").pvalue < 0.05
