"""FVT: means over the old spelling."""

from __future__ import annotations

import torch

from tokenry.method import Origin
from tokenry.vocab import FVT


def test_fvt_is_the_mean_of_the_old_spelling(moves):
    old = moves.letters(("a", "b"), ("ab", "c"))
    new = moves.letters(("a", "b"), ("ab", "ab"), ("c", "d"), ("abab", "cd"))
    one = moves.move(old, new)
    made = FVT().rows(one)
    place = {piece: token for token, piece in enumerate(old.pieces)}
    spellings = {"abab": ["ab", "ab"], "ababcd": ["ab", "abc", "d"], "ab": ["ab"]}
    for piece, spelling in spellings.items():
        token = new.pieces.index(piece)
        for table, rows_ in zip(moves.tables(made), moves.given(one), strict=True):
            expected = rows_[[place[part] for part in spelling]].mean(0)
            assert torch.allclose(table[token], expected)
    assert made.origin[new.pieces.index("abab")] == Origin.COPIED
    assert made.origin[new.pieces.index("ababcd")] == Origin.MIXED


def test_fvt_draws_what_the_old_tokenizer_cannot_write(moves):
    made = FVT().rows(moves.move(moves.words(*moves.old, "?"), moves.words("neun", "one")))
    assert made.origin.tolist() == [Origin.DRAWN, Origin.COPIED]
