"""Equal-Info: coding, the folder, bad input, and the claims; predictors count bytes."""

from __future__ import annotations

import json
import math
import zlib
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tokenry.data import load_text
from tokenry.errors import DataError, UsageError
from tokenry.ops.byte_counts import ByteCounts
from tokenry.plugs.coding import CodedTokenizer
from tokenry.vocab import ArithmeticCodes, EqualInfo

ORDER = 3


def blocks(size=1000):
    pages = dict.fromkeys(example.text for example in load_text("manpages"))
    return [p.encode()[i : i + size] for p in pages for i in range(0, len(p), size)]


def counted(order):
    """Counts in short pieces: a predictor of windows has to be trained on beginnings."""
    pieces = [block[i : i + 64] for block in blocks()[::8] for i in range(0, 1000, 64)]
    known = lru_cache(None)(ByteCounts.learned(pieces, order))
    return lambda prefix: known(prefix[-order:])


@pytest.fixture(scope="module")
def predict():
    return counted(ORDER)


def test_byte_counts_equal_the_formula():
    texts, order = [b"abab", b"abc", b""], 2
    counts = ByteCounts.learned(texts, order)

    def by_hand(symbol, before):
        follows = [
            [*text, 256][at]
            for text in texts
            for at in range(len(text) + 1)
            if text[:at].endswith(before)
        ]
        lower = by_hand(symbol, before[1:]) if before else 1 / 257
        kinds = len(set(follows))
        if not kinds:
            return lower
        return (follows.count(symbol) + kinds * lower) / (len(follows) + kinds)

    for before in (b"", b"a", b"ab", b"b", b"ca"):
        found = counts(before[-order:])
        assert float(found.sum()) == pytest.approx(1)
        for symbol in (97, 98, 99, 120, 256):
            assert found[symbol] == pytest.approx(by_hand(symbol, before))


CODERS = [EqualInfo(), EqualInfo(bits=24, token=8), EqualInfo(bits=12, token=4), ArithmeticCodes()]


@pytest.mark.parametrize("coder", CODERS, ids=lambda coder: coder.describe())
@settings(max_examples=25, deadline=None)
@given(text=st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_any_bytes_come_back(predict, coder, text):
    codes = coder.encode(predict, text)
    assert coder.decode(predict, codes) == text
    assert all(0 <= code < 2**coder.width for code in codes)


@pytest.mark.parametrize("token", [1, 3, 8, 16])
def test_zeros_at_the_ends_of_a_stream_are_kept(token):
    """The likeliest text has the code 0."""
    sure = np.full(257, 1e-9)
    sure[256] = 1
    for text in (b"", b"\x00", b"\x00\x00\xff"):
        coder = ArithmeticCodes(token=token)
        assert coder.decode(lambda _: sure, coder.encode(lambda _: sure, text)) == text


def test_a_wrong_code_damages_its_window_only(predict):
    coder, text = EqualInfo(), blocks()[1][:300]
    parts = coder.windows(predict, text)
    codes = coder.encode(predict, text)
    for place in range(0, len(codes), 7):
        wrong = [*codes[:place], codes[place] ^ 0x0F0F, *codes[place + 1 :]]
        before = b"".join(part for _, part in parts[:place])
        behind = b"".join(part for _, part in parts[place + 1 :])
        found = coder.decode(predict, wrong)
        assert found.startswith(before)
        assert found.endswith(behind)
        assert found != text


def test_no_window_is_longer_than_it_may_be(predict):
    sure = np.full(257, 1e-9)
    sure[97] = 1
    coder = EqualInfo(longest=7)
    lengths = [len(part) for _, part in coder.windows(lambda _: sure, b"a" * 30)]
    assert max(lengths) == 7
    assert coder.decode(lambda _: sure, coder.encode(lambda _: sure, b"a" * 30)) == b"a" * 30


def test_what_does_not_go_together_is_refused(predict):
    with pytest.raises(UsageError, match="bits=16 is no multiple of token=5"):
        CodedTokenizer(predict, "equal-info(token=5)")
    with pytest.raises(UsageError, match="3 tokens are no whole windows; a window has 2"):
        EqualInfo(token=8).decode(predict, [1, 2, 3])
    with pytest.raises(UsageError, match="'bpe' is no coder of texts; give arithmetic-codes or eq"):
        CodedTokenizer(predict, "bpe")


def test_a_folder_loads_with_the_same_predictor_only(predict, tmp_path):
    coded = CodedTokenizer(predict, EqualInfo(token=8))
    coded.save(tmp_path)
    ids = coded.encode("OPTIONS\n  -h, né")
    again = CodedTokenizer.load(tmp_path, predict)
    assert again.decode(ids) == "OPTIONS\n  -h, né"
    assert again.method == coded.method
    plain = AutoTokenizer.from_pretrained(tmp_path)
    assert len(plain) == len(coded) == 258
    assert plain("<17> <202>")["input_ids"] == [17, 202]
    assert plain.pad_token_id == 256
    padded = plain.pad({"input_ids": [ids, ids[:4]]}, return_tensors="pt")["input_ids"]
    assert again.decode(padded[1].tolist()) == coded.decode(ids[:4])
    with pytest.raises(DataError, match="gives other probabilities"):
        CodedTokenizer.load(tmp_path, ByteCounts.learned([b"else"]))
    facts = json.loads((tmp_path / "coder.json").read_text())
    assert facts["method"] == "equal-info(bits=16, token=8, longest=1024)"
    (tmp_path / "coder.json").unlink()
    with pytest.raises(DataError, match=r"no coder\.json"):
        CodedTokenizer.load(tmp_path, predict)


@pytest.mark.slow
def test_a_real_model_predicts_and_every_window_is_read_by_another_copy(tmp_path, smollm2):
    """Ends of characters that begin a window are no text; they are coded all the same."""
    from tokenry.plugs.bytes import ByteLM

    text = "Paris is né"
    first = CodedTokenizer(ByteLM(smollm2.model, smollm2.processor, invalid="keep"))
    first.save(tmp_path)
    codes = first.encode(text)
    again = ByteLM(smollm2.model, smollm2.processor, invalid="keep")
    other = CodedTokenizer.load(tmp_path, again)
    print(len(text.encode()) / len(codes), "bytes a code")
    assert other.decode(codes) == text


# --- claims -----------------------------------------------------------------------------------


def test_claim_the_overhead_shrinks_with_the_window(predict):
    texts = blocks()[1::120]
    size = sum(map(len, texts))
    plain = sum(16 * len(ArithmeticCodes().encode(predict, text)) for text in texts) / size
    equal = [
        sum(bits * len(EqualInfo(bits=bits).windows(predict, text)) for text in texts) / size
        for bits in (12, 16, 32, 64)
    ]
    print(plain, equal)
    assert equal == sorted(equal)[::-1]
    assert plain < equal[-1]
    assert equal[-1] / plain < 1.1


def learned_codes(codes):
    """Bits a token and bits a byte of text that a model needs which counted others' codes."""
    texts = [text for i, text in enumerate(blocks()) if 0 < i % 8 < 4]
    held, train = texts[::3], [text for i, text in enumerate(texts) if i % 3]
    tests, made = ([codes(text) for text in part] for part in (held, train))
    bits = []
    for order in (0, 4):
        model = ByteCounts.learned(made, order)
        bits.append(
            -sum(
                math.log2(model(text[max(0, i - order) : i])[code])
                for text in tests
                for i, code in enumerate(text)
            )
        )
    return min(bits) / sum(map(len, tests)), min(bits) / sum(map(len, held))


@pytest.mark.slow
def test_claim_codes_of_equal_information_can_be_learned(predict):
    """A small second model counts codes, in windows of 16 bits and in a stream."""
    equal, stream = (
        learned_codes(lambda text, coder=coder: bytes(coder.encode(predict, text)))
        for coder in (EqualInfo(token=8), ArithmeticCodes(token=8))
    )
    print(equal, stream)
    assert equal[0] < 0.85 * 8
    assert stream[0] > 0.95 * 8


@pytest.mark.slow
def test_claim_a_second_model_that_knows_more_needs_fewer_bits_than_in_a_stream():
    """Codes by what follows one byte; the second model sees four codes, some eight bytes."""
    predict = counted(1)
    equal, stream = (
        learned_codes(lambda text, coder=coder: bytes(coder.encode(predict, text)))
        for coder in (EqualInfo(token=8), ArithmeticCodes(token=8))
    )
    print(equal, stream)
    assert stream[0] > 0.95 * 8
    assert equal[1] < 0.9 * stream[1]


@pytest.mark.slow
def test_claim_other_codes_say_less_or_are_not_learned(predict):
    """Arithmetic codes of bytes by themselves (a static predictor), and Deflate's, as in gzip."""
    still = ByteCounts.learned(blocks()[::8], 0)
    static = learned_codes(lambda text: bytes(ArithmeticCodes(token=8).encode(still, text)))
    deflated = learned_codes(lambda text: zlib.compress(text, 9, wbits=-15))
    equal = learned_codes(lambda text: bytes(EqualInfo(token=8).encode(predict, text)))
    print(static, deflated, equal)
    assert equal[0] < min(static[0], deflated[0]) - 0.5
    assert equal[1] < min(static[1], deflated[1])
