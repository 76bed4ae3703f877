"""DNABERT-2: vocabularies of genomes, the encoder, and the claims, on real bacteria."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from torch import nn

from tokenry.data import load_text
from tokenry.errors import UsageError
from tokenry.ops.alibi import alibi
from tokenry.ops.genome import bases, kmers
from tokenry.vocab import DNABERT2, Kmer
from tokenry.vocab.dnabert2 import GenomeEncoder


def texts(split):
    found = load_text("genomes").where(split=split)
    return {example.domain: example.text for example in found}


@pytest.fixture(scope="module")
def bpe():
    return DNABERT2(size=1024).train(texts("train").values())


@pytest.fixture(scope="module")
def sixmers():
    return Kmer().train([])


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", ["ACGTNNNNACGT", "A", "N", "ACGTGCA" * 300, "GATTACAN"])
def test_any_bases_come_back(bpe, sixmers, text):
    for tokenizer in (bpe, sixmers):
        assert tokenizer.decode(ids(tokenizer, text)) == text
        assert tokenizer.decode(ids(tokenizer, text.lower())) == text


def test_special_tokens_stand_around(bpe):
    assert bpe.encode("ACGT").tokens[0] == "[CLS]"
    assert bpe.encode("ACGT", "GG").tokens[-1] == "[SEP]"
    assert bpe.get_vocab_size() == 1024


def test_pairs_are_merged_in_the_order_of_their_counts():
    """By hand: AC stands 6 times, then GAC 4 times, of chunks that end at N."""
    tokenizer = DNABERT2(size=12, chunk=100).train(["GACNGACNGACNGAC", "acNac\n"])
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    assert tokens[5:] == ["A", "C", "G", "N", "T", "AC", "GAC"]


def test_other_letters_are_refused_in_training_and_unknown_at_use(bpe):
    with pytest.raises(UsageError, match="DNABERT2: base 7 is 'R'; allowed are A, C, G, T and N"):
        DNABERT2().train(["ACG\nacgR"])
    with pytest.raises(UsageError, match="base 1 is '>'"):
        bases(">chr1\nACGT", "DNABERT2")
    with pytest.raises(UsageError, match="the texts hold nothing"):
        DNABERT2().train(["NNNN", " \n"])
    with pytest.raises(UsageError, match="size=9 leaves no room"):
        DNABERT2(size=9).train(["ACGT"])
    with pytest.raises(UsageError, match="Kmer: size=100 leaves no room"):
        Kmer(size=100).train([])
    assert bpe.token_to_id("[UNK]") in ids(bpe, "ACGRAC")


def test_chunks_bound_what_a_pair_can_be():
    longest = max(DNABERT2(size=200, chunk=4).train(["ACGT" * 50]).get_vocab(), key=len)
    assert len(longest.strip("[]")) <= 4


def test_kmers_overlap_or_stand_side_by_side(sixmers):
    text = texts("test")["Escherichia coli"][:100]
    assert kmers(text, 6) == [text[i : i + 6] for i in range(95)]
    side = sixmers.encode(text, add_special_tokens=False).tokens
    assert side == kmers(text, 6, 6)
    assert [len(one) for one in side] == [6] * 16 + [4]


def test_alibi_is_the_distance_times_a_slope():
    for head, i, j in itertools.product(range(8), range(5), range(5)):
        assert float(alibi(8, 5)[head, i, j]) == -(2.0 ** -(head + 1)) * abs(i - j)


@torch.no_grad()
def test_the_encoder_equals_loops():
    """One layer with one head, row by row."""
    torch.manual_seed(0)
    model = GenomeEncoder(9, width=8, layers=1, heads=1).double()
    row = torch.tensor([[1, 2, 3, 4, 5]])
    mask = torch.tensor([[True, True, True, True, False]])
    layer, x = model.layers[0], model.embed(row)[0]
    q, k, v = layer.qkv(layer.norms[0](x)).chunk(3, -1)
    read = torch.zeros_like(x)
    for i in range(5):
        scores = [float(q[i] @ k[j]) / math.sqrt(8) - 2**-8 * abs(i - j) for j in range(4)]
        top = [math.exp(score) for score in scores]
        read[i] = sum(weight / sum(top) * v[j] for j, weight in enumerate(top))
    x = x + layer.out(read)
    gate, value = layer.gate(layer.norms[1](x)).chunk(2, -1)
    x = x + layer.down(0.5 * gate * (1 + torch.erf(gate / math.sqrt(2))) * value)
    torch.testing.assert_close(model(row, mask)[0], model.norm(x))


def test_padding_does_not_matter_and_long_texts_run():
    torch.manual_seed(0)
    model = GenomeEncoder(50)
    row = torch.randint(5, 50, (1, 400))
    short = model(row[:, :30], torch.ones(1, 30, dtype=torch.bool))
    mask = (torch.arange(400) < 30)[None]
    torch.testing.assert_close(model(row, mask)[:, :30], short, atol=1e-5, rtol=1e-5)
    assert model(row, torch.ones_like(mask)).isfinite().all()


def test_gradients_reach_every_weight():
    model = GenomeEncoder(20, width=16)
    row = torch.arange(20)[None]
    model(row, torch.ones_like(row, dtype=torch.bool)).square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


# --- claims -----------------------------------------------------------------------------------


def test_claim_four_to_six_bases_a_token_and_more_on_what_it_was_trained_on():
    train, test = texts("train"), texts("test")
    others = [name for name in train if name != "Vibrio cholerae"]
    tokenizer = DNABERT2().train(train[name] for name in others)
    seen = {name: len(train[name]) / len(ids(tokenizer, train[name])) for name in others}
    held = {name: len(text) / len(ids(tokenizer, text)) for name, text in test.items()}
    print({name: round(x, 2) for name, x in held.items()}, seen)
    assert all(4 < x < 6 for x in held.values())
    assert all(seen[name] > held[name] for name in others)
    assert held["Vibrio cholerae"] == min(held.values())


def distance(one, two):
    """Tokens that have to be put in, taken out or changed."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def test_claim_an_insertion_changes_few_tokens(bpe, sixmers):
    draw, changed = random.Random(0), {"bpe": [], "kmers": []}
    for text in texts("test").values():
        for start in range(0, 4000, 500):
            window, at = text[start : start + 500], draw.randrange(50, 150)
            longer = window[:at] + draw.choice("ACGT") + window[at:]
            for name, tokenizer in (("bpe", bpe), ("kmers", sixmers)):
                changed[name].append(distance(ids(tokenizer, window), ids(tokenizer, longer)))
    means = {name: sum(found) / len(found) for name, found in changed.items()}
    print(means)
    assert means["bpe"] < 0.2 * means["kmers"]


def fillings(tokens, hidden, k):
    """How many ways there are to fill in hidden k-mers so that neighbours overlap."""
    ways, places = 0, sorted(hidden)
    for filling in itertools.product(itertools.product("ACGT", repeat=k), repeat=len(places)):
        whole = list(tokens)
        for place, word in zip(places, filling, strict=True):
            whole[place] = "".join(word)
        ways += all(a[1:] == b[:-1] for a, b in itertools.pairwise(whole))
    return ways


def test_claim_overlapping_kmers_leak():
    """Random bases: one hidden k-mer can be told for certain, k in a row leave one base open."""
    draw = random.Random(0)
    for _ in range(5):
        text = "".join(draw.choices("ACGT", k=12))
        assert fillings(kmers(text, 3), {4}, 3) == 1
        assert fillings(kmers(text, 3), {4, 5}, 3) == 1
        assert fillings(kmers(text, 2), {4}, 2) == 1
        assert fillings(kmers(text, 2), {4, 5}, 2) == 4


def windows(split, count, seed):
    draw = random.Random(seed)
    found = [
        (text[start : start + 500], label)
        for label, text in enumerate(texts(split).values())
        for start in (draw.randrange(len(text) - 500) for _ in range(count))
    ]
    draw.shuffle(found)
    return found


def species(tokenizer, tokens, seed=0):
    """Accuracy on other parts of the genomes after training on so many tokens."""
    torch.manual_seed(seed)
    tokenizer.enable_padding(pad_id=3)
    model, head = GenomeEncoder(tokenizer.get_vocab_size(), width=32), nn.Linear(32, 4)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=3e-3)

    def answer(batch):
        made = tokenizer.encode_batch([text for text, _ in batch])
        mask = torch.tensor([one.attention_mask for one in made]).bool()
        nonlocal tokens
        tokens -= mask.numel()
        states = model(torch.tensor([one.ids for one in made]), mask) * mask[..., None]
        scores = head(states.sum(1) / mask.sum(1, keepdim=True))
        return scores, torch.tensor([label for _, label in batch])

    data = itertools.cycle(windows("train", 800, seed))
    while tokens > 0:
        loss = nn.functional.cross_entropy(*answer(list(itertools.islice(data, 32))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        scores, labels = answer(windows("test", 250, 99))
    return float((scores.argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_claim_species_are_told_apart_no_worse_than_by_kmers(bpe, sixmers):
    """As many tokens are trained on with both: equal compute. A spread of 0.02 is chance."""
    found = {name: species(one, 300_000) for name, one in (("bpe", bpe), ("kmers", sixmers))}
    print(found)
    assert found["bpe"] >= found["kmers"]
    assert found["bpe"] > 0.5
