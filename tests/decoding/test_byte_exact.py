"""Byte-exact: when it counts as working, and its claims."""

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tokenry.decoding import ByteExact
from tokenry.errors import UsageError
from tokenry.plugs.byte_ensemble import ByteEnsemble
from tokenry.plugs.bytes import ByteLM

A, B = ord("a"), ord("b")
MERGES = [("a", "b"), ("a", "a"), ("b", "ab")]


def whole_words(lab, merges):
    """A byte-level tokenizer that does not split into words: tokens a, b and what they merge to."""
    from tokenizers import pre_tokenizers

    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return lab.byte_level(pre, merges=merges)


def letters(tokenizer):
    """Ids of the tokens over a and b."""
    vocab = tokenizer.get_vocab()
    return {token: i for token, i in vocab.items() if set(token) <= {"a", "b"}}


def canonical_table(tokenizer, stop):
    """Random probabilities of the token behind each token; none where it is not canonical."""
    source = np.random.default_rng(0)
    table = torch.zeros(len(tokenizer), len(tokenizer), dtype=torch.float64)
    words, end = letters(tokenizer), tokenizer.eos_token_id
    for left, i in [("", end), *words.items()]:
        for right, j in words.items():
            if tokenizer(left + right)["input_ids"] == ([i, j] if left else [j]):
                table[i, j] = source.random()
        table[i] *= (1 - stop) / table[i].sum()
        table[i, end] = stop
    table[table.sum(1) == 0, end] = 1
    return table


def by_strings(tokenizer, table, length):
    """The probability of every string over a and b up to a length, by its one canonical writing."""
    end = tokenizer.eos_token_id
    found = {}
    for size in range(length + 1):
        for text in map("".join, itertools.product("ab", repeat=size)):
            ids = [end, *tokenizer(text)["input_ids"], end]
            found[text] = math.prod(float(table[i, j]) for i, j in itertools.pairwise(ids))
    return found


def test_toy_vocabulary_equals_the_enumeration_of_strings(lab):
    """Strings, not tokens, are summed; what is longer than ten letters weighs under 1e-11."""
    tokenizer = whole_words(lab, MERGES)
    assert len(letters(tokenizer)) == 5
    table = canonical_table(tokenizer, stop=0.9999)
    strings = by_strings(tokenizer, table, 11)
    lm = ByteLM(lab.bigram(table), tokenizer, skip=0, untested=0)
    for prefix in ("", "a", "b", "aa", "ab", "ba"):
        begins = sum(p for s, p in strings.items() if s.startswith(prefix))
        expected = torch.zeros(257, dtype=torch.float64)
        expected[256] = strings[prefix] / begins
        for letter in "ab":
            mass = sum(p for s, p in strings.items() if s.startswith(prefix + letter))
            expected[ord(letter)] = mass / begins
        found = lm.next(prefix).exp()
        assert float(found.sum()) == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_probabilities_of_bytes_multiply_to_that_of_the_text(lab):
    tokenizer = lab.kinds["gpt2"]
    model = lab.model(tokenizer)
    lm = ByteLM(model, tokenizer, skip=0, untested=0)
    for text in ("the", "\n\n x", "it's"):
        covers = lab.brute(lm, model, tokenizer).weigh(text.encode())[0]
        assert lm.score(text) == pytest.approx(math.log(covers), abs=1e-9)


def markov(tokenizer, alpha, beta):
    """The token model of a Markov chain over a and b with P(b|a) = alpha, P(a|b) = beta.

    Writing goes from left to right: two a make the token aa, so that a single a is always
    followed by b.
    """
    ids, end = letters(tokenizer), tokenizer.eos_token_id
    table = torch.zeros(len(tokenizer), len(tokenizer), dtype=torch.float64)
    for left, a in (("b", beta), ("aa", 1 - alpha)):
        table[ids[left], ids["aa"]] = a * (1 - alpha)
        table[ids[left], ids["a"]] = a * alpha
        table[ids[left], ids["b"]] = 1 - a
    table[ids["a"], ids["b"]] = 1
    table[end] = table[ids["b"]]
    table[table.sum(1) == 0, end] = 1
    return table


def test_tokenization_bias_of_a_markov_chain_is_gone(lab):
    tokenizer, alpha = whole_words(lab, [("a", "a")]), 0.3
    model = lab.bigram(markov(tokenizer, alpha, 0.8))
    lm = ByteLM(model, tokenizer, skip=0, untested=0)
    for prefix in ("ba", "baaa", "aba", "a"):
        with torch.no_grad():
            ids = torch.tensor([tokenizer(prefix)["input_ids"]])
            naive = model(ids).logits[0, -1].softmax(-1)
        assert float(naive[letters(tokenizer)["b"]]) == pytest.approx(1)
        found = lm.next(prefix).exp()
        assert float(found[B]) == pytest.approx(alpha, abs=1e-12)
        assert float(found[A]) == pytest.approx(1 - alpha, abs=1e-12)
    for prefix in ("b", "ab", "aab"):
        assert float(lm.next(prefix).exp()[A]) == pytest.approx(0.8, abs=1e-12)


def test_at_a_border_it_is_the_marginal_of_the_next_token_unless_others_cover(lab):
    tokenizer = lab.kinds["gpt2"]
    model = lab.model(tokenizer)
    lm = ByteLM(model, tokenizer, skip=0, untested=0)
    brute = lab.brute(lm, model, tokenizer)
    equal = {}
    for prefix in ("the", "x?", "th", "1", "it's", " ", "day "):
        found = lm.next(prefix).exp()
        tokens = tuple(tokenizer(prefix)["input_ids"])
        follow, stop = brute.answer(tokens)
        marginal = torch.zeros(257, dtype=torch.float64)
        marginal[256] = stop
        for token, p in follow.items():
            marginal[brute.spelled[token][0]] += p
        equal[len(lm._open) == 1, bool(torch.allclose(found, marginal, atol=1e-9))] = prefix
    assert set(equal) == {(True, True), (False, False)}


@pytest.mark.slow
def test_all_tokenizations_together_weigh_the_same_where_only_canonical_ones_weigh(lab):
    """What sums over every tokenization differs by non-canonical mass, and by nothing else."""
    tokenizer = whole_words(lab, MERGES)
    table = canonical_table(tokenizer, stop=0.2)
    for model, same in ((lab.bigram(table), True), (lab.model(tokenizer), False)):
        lm = ByteLM(model, tokenizer, skip=0, untested=0)
        every = lab.brute(lm, model, tokenizer, canonical=False)
        far = max(
            float((lm.next(prefix).exp() - every.next(prefix.encode())).abs().max())
            for prefix in ("a", "ab", "bab")
        )
        assert (far < 1e-9) == same
        assert (lm.trace.cut < 1e-9) == same


@pytest.mark.parametrize(("setting", "value"), [("skip", 0.6), ("untested", -1e-9)])
def test_settings_have_bounds(setting, value):
    with pytest.raises(UsageError, match=f"ByteExact: {setting}={value}"):
        ByteExact(**{setting: value})


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[2] / "bench" / "bytes.py"
    spec = importlib.util.spec_from_file_location("bench_bytes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- claims -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_claim_prompts_that_end_inside_a_word(bench, smollm2):
    """Names in Python source, cut inside, seen before in the prompt; the bench has more of them."""
    right, _ = bench.completed(smollm2.model, smollm2.processor, 14)
    print({way: sum(found) for way, found in right.items()})
    assert sum(right["byte-exact"]) >= sum(right["token healing"]) >= sum(right["plain"])
    assert bench.sign_test(*bench.uneven(right["byte-exact"], right["plain"])) < 0.05


def counted(tokenizer, texts):
    """The token behind each token, counted in texts, with a little for what was never seen."""
    size, end = len(tokenizer), tokenizer.eos_token_id
    table = torch.full((size, size), 0.02, dtype=torch.float64)
    for text in texts:
        ids = torch.tensor([end, *tokenizer(text)["input_ids"], end])
        table.index_put_((ids[:-1], ids[1:]), torch.ones(len(ids) - 1).double(), accumulate=True)
    return table / table.sum(1, keepdim=True)


@pytest.mark.slow
def test_claim_an_ensemble_of_two_vocabularies_beats_its_best_member(lab):
    """Models that counted pairs of tokens in manual pages, each in its own, read on others."""
    import tokenry.data

    pages = [page.text for page in tokenry.data.load_text("manpages")]
    train = [page[:4000] for page in pages[::2]]
    held = [page[2000:2050].encode() for page in pages[1::4]][:6]
    members = []
    for seed, size in enumerate((450, 500)):
        tokenizer = lab.byte_level(size=size, corpus=train[seed::2])
        table = counted(tokenizer, train[seed::2])
        members.append(ByteLM(lab.bigram(table), tokenizer))
    readers = [*members, ByteEnsemble(members), ByteEnsemble(members, "product")]
    nll = np.array(
        [
            [-float(one.next(text[:i])[text[i]]) for one in readers]
            for text in held
            for i in range(len(text))
        ]
    )
    print("nats per byte", nll.mean(0).round(4))
    first, second, average, product = nll.mean(0)
    assert average <= max(first, second)
    assert product < min(first, second)
