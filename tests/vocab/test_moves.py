"""The rules that give the tokens of a new vocabulary their rows, against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tokenry.errors import UsageError
from tokenry.method import Embeddings, Move, Origin
from tokenry.method.blends import blended, shared
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import FVT, Focus, LexicalCopy, MeanRows, RandomRows, Wechsel

OLD = ("one", "two", "three", "four", "five", "six", "seven", "eight")
NEW = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht")


class Words:
    """Word vectors from a mapping."""

    def __init__(self, table, counts=None):
        self.table, self.counts = table, counts or dict.fromkeys(table, 1)

    def vectors(self, words):
        nothing = np.zeros_like(next(iter(self.table.values())))
        return np.stack([self.table.get(word, nothing) for word in words])


def words(*pieces):
    made = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, "?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return vocabulary(made)


def letters(*merges):
    """A byte-level tokenizer with these merges."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(pair) for pair in merges]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return vocabulary(made)


def rows(count, width=5, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def move(source, target, **more):
    n = len(source)
    embeddings = Embeddings(
        input=rows(n + 2), output=rows(n + 2, 6, 1), bias=rows(n + 2, 1, 2)[:, 0]
    )
    return Move(source=source, target=target, **{"embeddings": embeddings, **more})


def random_words(names, width=6, seed=0):
    table = np.random.default_rng(seed).normal(size=(len(names), width))
    return Words(dict(zip(names, table, strict=True)))


def tables(made):
    return made.embeddings.input, made.embeddings.output, made.embeddings.bias[:, None]


def given(one):
    return one.embeddings.input, one.embeddings.output, one.embeddings.bias[:, None]


# What all of them are made with


def test_blends_are_weighted_sums_in_input_output_and_bias():
    one = move(words(*OLD), words(*NEW[:4]))
    made = blended(one, [[(3, 1.0)], [(0, 0.25), (5, 0.75)], (), [(2, 0.5)]])
    for table, old in zip(tables(made), given(one), strict=True):
        assert torch.equal(table[0], old[3])
        assert torch.allclose(table[1], 0.25 * old[0] + 0.75 * old[5])
        assert torch.allclose(table[3], 0.5 * old[2])
    assert made.origin.tolist() == [Origin.COPIED, Origin.MIXED, Origin.DRAWN, Origin.MIXED]
    assert made.parents == [[3], [0, 5], [], [2]]


def test_drawn_rows_have_the_moments_of_the_real_rows():
    one = move(words(*OLD), words(*map(str, range(20_000))))
    made = RandomRows().rows(one)
    for table, old in zip(tables(made), given(one), strict=True):
        real = old[: len(OLD)]  # the last two rows belong to no token
        assert torch.allclose(table.mean(0), real.mean(0), atol=0.05)
        assert torch.allclose(table.std(0), real.std(0, correction=0), atol=0.05)
    again = RandomRows().rows(one)
    assert torch.equal(made.embeddings.input, again.embeddings.input)
    other = RandomRows().rows(move(one.source, one.target, seed=1))
    assert not torch.equal(made.embeddings.input, other.embeddings.input)


def test_tied_rows_stay_tied_and_keep_their_precision():
    tied = Embeddings(input=rows(8).bfloat16())
    made = blended(move(words(*OLD), words("one"), embeddings=tied), [[(1, 1.0)]])
    assert made.embeddings.output is None
    assert made.embeddings.bias is None
    assert torch.equal(made.embeddings.input[0], tied.input[1])


def test_shared_tokens_spell_the_same_the_space_included():
    old, new = letters(("a", "b"), ("Ġ", "a")), letters(("Ġ", "a"), ("c", "d"))
    ids = {piece: token for token, piece in enumerate(new.pieces)}
    found = shared(old, new)
    assert old.pieces[found[ids["Ġa"]]] == "Ġa"
    assert ids["cd"] not in found
    assert len(found) == 257


# Plain baselines


def test_mean_rows_are_the_mean_of_the_real_rows():
    one = move(words(*OLD), words(*NEW))
    for table, old in zip(tables(MeanRows().rows(one)), given(one), strict=True):
        assert torch.allclose(table, old[: len(OLD)].mean(0).expand_as(table))


def test_lexical_copy_copies_what_is_shared_and_draws_the_rest():
    one = move(words(*OLD), words("zwei", "two", "one"))
    made = LexicalCopy().rows(one)
    assert torch.equal(made.embeddings.input[1:], one.embeddings.input[[1, 0]])
    assert made.origin.tolist() == [Origin.DRAWN, Origin.COPIED, Origin.COPIED]


# FVT


def test_fvt_is_the_mean_of_the_old_spelling():
    old = letters(("a", "b"), ("ab", "c"))
    new = letters(("a", "b"), ("ab", "ab"), ("c", "d"), ("abab", "cd"))
    one = move(old, new)
    made = FVT().rows(one)
    place = {piece: token for token, piece in enumerate(old.pieces)}
    spellings = {"abab": ["ab", "ab"], "ababcd": ["ab", "abc", "d"], "ab": ["ab"]}
    for piece, spelling in spellings.items():
        token = new.pieces.index(piece)
        for table, rows_ in zip(tables(made), given(one), strict=True):
            expected = rows_[[place[part] for part in spelling]].mean(0)
            assert torch.allclose(table[token], expected)
    assert made.origin[new.pieces.index("abab")] == Origin.COPIED
    assert made.origin[new.pieces.index("ababcd")] == Origin.MIXED


def test_fvt_draws_what_the_old_tokenizer_cannot_write():
    made = FVT().rows(move(words(*OLD, "?"), words("neun", "one")))
    assert made.origin.tolist() == [Origin.DRAWN, Origin.COPIED]


# FOCUS


def test_focus_with_one_tokenizer_is_the_identity():
    one = move(words(*OLD), words(*OLD), target_words=random_words(OLD))
    made = Focus().rows(one)
    for table, old in zip(tables(made), given(one), strict=True):
        assert torch.equal(table, old[: len(OLD)])


def test_focus_mixes_shared_tokens_by_the_projection_of_their_cosines():
    learned = random_words(("one", "two", "four", "neu", "anders"), seed=3)
    target = words("neu", "two", "one", "five", "anders", "selten")
    one = move(words(*OLD), target, target_words=learned)
    made = Focus().rows(one)
    fixed = ["one", "two"]  # four is no token of the target, five has no vector
    for token, piece in ((0, "neu"), (4, "anders")):
        a = learned.table[piece]
        scores = []
        for other in fixed:
            b = learned.table[other]
            scores.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        gap = scores[0] - scores[1]
        weight = min(max((1 + gap) / 2, 0), 1)  # the projection of two numbers
        expected = weight * one.embeddings.input[0] + (1 - weight) * one.embeddings.input[1]
        assert torch.allclose(made.embeddings.input[token], expected, atol=1e-5)
    assert torch.equal(made.embeddings.input[3], one.embeddings.input[4])
    assert made.origin[5] == Origin.DRAWN


def test_focus_learns_from_the_targets_tokens():
    seen = {}

    def learn(sentences, **settings):
        seen.update(settings, sentences=sentences)
        return random_words(("one", "neu"))

    texts = ["one neu", "neu neu"]
    one = move(words(*OLD), words("neu", "one"), target_texts=texts, learn=learn, seed=7)
    Focus(width=6, least=2).rows(one)
    assert seen["sentences"] == [["one", "neu"], ["neu", "neu"]]
    assert (seen["width"], seen["epochs"], seen["least"], seen["seed"]) == (6, 3, 2, 7)


def test_focus_says_what_is_missing():
    with pytest.raises(UsageError, match="share no token"):
        Focus().rows(move(words(*OLD), words(*NEW)))
    with pytest.raises(UsageError, match="none was given"):
        Focus().rows(move(words(*OLD), words(*OLD)))
    with pytest.raises(UsageError, match="no `learn`"):
        Focus().rows(move(words(*OLD), words(*OLD), target_texts=["one"]))


# WECHSEL


def planted(seed=0, width=6):
    """Vectors of both languages, the target's turned and reflected; nothing else differs."""
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.normal(size=(width, width)))
    if np.linalg.det(turn) > 0:
        turn[:, 0] *= -1
    old = random_words(OLD, width, seed)
    table = zip(NEW, old.vectors(OLD) @ turn, strict=True)
    return old, Words(dict(table)), turn


def test_wechsel_with_one_tokenizer_and_one_neighbour_is_the_identity():
    known = random_words(OLD)
    one = move(words(*OLD), words(*OLD), source_words=known, target_words=known)
    made = Wechsel(k=1, align=False).rows(one)
    for table, old in zip(tables(made), given(one), strict=True):
        assert torch.equal(table, old[: len(OLD)])


def test_wechsel_recovers_a_planted_turn_and_with_it_the_translations():
    old, new, turn = planted()
    pairs = list(zip(OLD, NEW, strict=True))
    order = torch.randperm(len(NEW), generator=torch.Generator().manual_seed(0)).tolist()
    target = words(*(NEW[i] for i in order))
    one = move(words(*OLD), target, source_words=old, target_words=new, dictionary=pairs)
    assert np.abs(Wechsel()._rotation(one, old, new) - turn).max() < 1e-6
    made = Wechsel(k=1).rows(one)
    assert torch.equal(made.embeddings.input, one.embeddings.input[order])


def test_wechsel_mixes_the_nearest_by_the_softmax_of_their_cosines():
    known = random_words(OLD)
    new = random_words(("neu",), seed=9)
    one = move(words(*OLD), words("neu"), source_words=known, target_words=new)
    made = Wechsel(k=3, temperature=0.2, align=False).rows(one)
    a = new.table["neu"]
    cosines = {
        token: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for token, b in enumerate(known.table.values())
    }
    nearest = sorted(cosines, key=cosines.get, reverse=True)[:3]
    weights = np.exp([cosines[token] / 0.2 for token in nearest])
    weights /= weights.sum()
    expected = sum(
        weight * one.embeddings.input[token]
        for weight, token in zip(weights.tolist(), nearest, strict=True)
    )
    assert torch.allclose(made.embeddings.input[0], expected, atol=1e-5)
    assert made.parents == [nearest]


def test_wechsel_draws_tokens_without_a_vector_and_never_takes_such_parents():
    known = random_words(OLD[:4])
    one = move(words(*OLD), words("one", "neu"), source_words=known, target_words=known)
    made = Wechsel(align=False).rows(one)
    assert made.origin.tolist() == [Origin.MIXED, Origin.DRAWN]
    assert sorted(made.parents[0]) == [0, 1, 2, 3]


def test_wechsel_by_words_weighs_the_words_that_a_token_is_part_of():
    target = letters(("a", "b"))
    known = Words({"ab": np.array([1.0, 0.0]), "abc": np.array([0.0, 1.0])}, {"ab": 3, "abc": 1})
    one = move(target, target, source_words=known, target_words=known)
    made = Wechsel(by="words", k=2, align=False).rows(one)
    ab, c, space = (target.pieces.index(piece) for piece in ("ab", "c", "Ġ"))
    assert set(made.parents[ab]) == {ab, space}  # both (3, 1)
    assert made.parents[c][0] == c  # (0, 1)
    assert made.origin[target.pieces.index("z")] == Origin.DRAWN


def test_wechsel_tries_small_and_capital_letters():
    old, new, _ = planted()
    pairs = [(a.upper(), b.title()) for a, b in zip(OLD, NEW, strict=True)]
    one = move(words(*OLD), words(*NEW), source_words=old, target_words=new, dictionary=pairs)
    assert torch.equal(Wechsel(k=1).rows(one).embeddings.input, one.embeddings.input[: len(OLD)])


def test_wechsel_says_what_is_missing():
    old, new, _ = planted()
    vectors = {"source_words": old, "target_words": new}
    with pytest.raises(UsageError, match=r"none of 1 translations.*identical=True"):
        Wechsel().rows(move(words(*OLD), words(*NEW), dictionary=[("cat", "Katze")], **vectors))
    vectors["target_words"] = random_words(NEW, 7)
    with pytest.raises(UsageError, match="6 numbers, the target's 7"):
        Wechsel().rows(move(words(*OLD), words(*NEW), **vectors))
    with pytest.raises(UsageError, match="none was given"):
        Wechsel().rows(move(words(*OLD), words(*NEW)))
