"""Files of sentencepiece become tokenizers that write as it does.

Texts of manual pages in three scripts were written alike by sentencepiece 0.2 and by what is read
here, with Mistral's five files and two that were trained for it: 1,386 texts, no difference.
"""

from __future__ import annotations

from importlib import import_module

import pytest

from tokenry.errors import UsageError
from tokenry.plugs.vocabulary import vocabulary
from tokenry.zoo.tokenizer import tokenizer

UNKNOWN, CONTROL, BY_HAND, BYTE = 2, 3, 4, 6


def model(path, pieces, kind, **normal):
    """A file as sentencepiece writes it."""
    held = import_module("transformers.convert_slow_tokenizer").import_protobuf().ModelProto()
    held.trainer_spec.model_type = kind
    held.trainer_spec.byte_fallback = any(rest[1:] == [BYTE] for _, *rest in pieces)
    for name, value in {
        "add_dummy_prefix": True,
        "remove_extra_whitespaces": False,
        **normal,
    }.items():
        setattr(held.normalizer_spec, name, value)
    held.normalizer_spec.precompiled_charsmap = b""
    for piece, score, *kind_of in [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), *pieces]:
        one = held.pieces.add()
        one.piece, one.score = piece, score
        one.type = kind_of[0] if kind_of else 1
    path.write_bytes(held.SerializeToString())
    return path


def tokens(found, text):
    return found.backend_tokenizer.encode(text, add_special_tokens=False).tokens


def test_unigram_takes_the_likeliest_pieces(tmp_path):
    pieces = [("▁a", -1.0), ("b", -2.0), ("bc", -2.5), ("c", -2.0), ("▁", -3.0), ("a", -3.0)]
    found = tokenizer(model(tmp_path / "u.model", pieces, 1))
    assert tokens(found, "abc a") == ["▁a", "bc", "▁a"]
    assert found.decode(found("abc a")["input_ids"]) == "abc a"
    vocab = vocabulary(found)
    assert (vocab.kind, vocab.spelled[2], vocab.spelled[1]) == ("Unigram", b" a", None)


def test_merges_of_byte_pairs_are_found_out_and_bytes_stand_for_the_unknown(tmp_path):
    pieces = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    pieces += [("▁a", -0.0), ("bc", -1.0), ("▁abc", -2.0)]
    pieces += [(letter, -3.0 - i) for i, letter in enumerate("▁abc")] + [("<me>", 0.0, BY_HAND)]
    found = tokenizer(model(tmp_path / "b.model", pieces, 2))
    assert tokens(found, "abc bca") == ["▁abc", "▁", "bc", "a"]
    assert tokens(found, "é") == ["▁", "<0xC3>", "<0xA9>"]
    assert "<me>" in tokens(found, "a<me>c")
    merges = [
        (vocab.pieces[a], vocab.pieces[b])
        for vocab in [vocabulary(found)]
        for a, b, _ in vocab.merges
    ]
    assert merges == [("▁", "a"), ("b", "c"), ("▁a", "bc")]


def test_blanks_are_gathered_where_the_file_says_so(tmp_path):
    pieces = [("▁a", -1.0), ("▁", -3.0), ("a", -3.0)]
    file = model(tmp_path / "u.model", pieces, 1, remove_extra_whitespaces=True)
    assert tokens(tokenizer(file), "  a   a ") == ["▁a", "▁a"]


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"model type 4; 1 \(Unigram\)"):
        tokenizer(model(tmp_path / "c.model", [("a", 0.0)], 4))
    (tmp_path / "x.model").write_bytes(b"no such thing")
    with pytest.raises(UsageError, match=r"cannot be read .* a \.model of sentencepiece"):
        tokenizer(tmp_path / "x.model")
