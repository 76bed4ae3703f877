"""Tuning encoders: what is learned, what is saved, and what is refused."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, BertConfig, BertModel, PreTrainedTokenizerFast

from tokenry.errors import TokenryError, UnknownNameError, UsageError
from tokenry.linking import OnlineContrastive, SupCon
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import tune
from tokenry.retrieval import InBatch, MirrorBert

WORDS = ["cat", "dog", "bird", "fish", "red", "blue", "green", "big", "small", "old", "new"]
WORDS += ["car", "boat", "house", "tree", "sea", "sun"]
OTHER = dict(zip(WORDS, WORDS[5:] + WORDS[:5], strict=True))
PAIRS = [(f"{a} {b}", f"{OTHER[b]} {OTHER[a]}") for a in WORDS[:6] for b in WORDS[6:12]]


def tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {word: i for i, word in enumerate([*special, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, **{f"{role}_token": token for role, token in roles.items()}
    )


def bert(seed=0):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    return BertModel(config)


@pytest.fixture
def build():
    return lambda **settings: text_encoder((bert(), tokenizer()), **settings)


def recall(encoder, pairs):
    left, right = (
        encoder.encode([pair[side] for pair in pairs], convert_to_tensor=True) for side in (0, 1)
    )
    best = (left @ right.mT).argmax(1)
    return float((best == torch.arange(len(pairs))).float().mean())


def test_tuned_encoder_finds_pairs_and_loads_elsewhere(build, tmp_path):
    from sentence_transformers import SentenceTransformer

    encoder = build(width=16)
    before = recall(encoder, PAIRS)
    found = tune(encoder, PAIRS, steps=40, rate=3e-3, out=tmp_path / "tuned")
    assert len(found.losses) == 40
    assert sum(found.losses[-5:]) < sum(found.losses[:5]) / 2
    assert recall(encoder, PAIRS) > before + 0.3
    assert "40 steps" in str(found)
    again = SentenceTransformer(str(found.folder), device="cpu")
    texts = [pair[0] for pair in PAIRS[:3]]
    assert torch.allclose(
        *(e.encode(texts, convert_to_tensor=True) for e in (encoder, again)), atol=1e-6
    )
    body = AutoModel.from_pretrained(found.folder)
    assert torch.equal(
        body.embeddings.word_embeddings.weight, encoder[0].model.embeddings.word_embeddings.weight
    )
    assert [p.suffix for p in tmp_path.rglob("*.bin")] == []


def test_vectors_have_length_one_and_width(build):
    for settings in ({}, {"pooling": "cls"}, {"width": 7}):
        made = build(**settings).encode(["red cat", "sea"], convert_to_tensor=True)
        assert made.shape == (2, settings.get("width", 32))
        assert torch.allclose(made.norm(dim=1), torch.ones(2), atol=1e-5)


def test_pooling_is_that_of_a_hand(build):
    model, words = bert().eval(), tokenizer()
    texts = ["red cat", "big blue old house"]
    given = words(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        rows = model(given["input_ids"], attention_mask=given["attention_mask"])[0]
    for pooling in ("mean", "cls"):
        made = build(pooling=pooling).encode(texts, convert_to_tensor=True)
        for i, n in enumerate(given["attention_mask"].sum(1).tolist()):
            wanted = rows[i, :n].mean(0) if pooling == "mean" else rows[i, 0]
            assert torch.allclose(made[i], wanted / wanted.norm(), atol=1e-5)


def test_same_seed_gives_the_same_weights_and_leaves_the_generator(build):
    weights = []
    for seed in (3, 3, 4):
        encoder = build()
        state = torch.get_rng_state()
        tune(encoder, PAIRS, MirrorBert(), steps=3, batch_size=8, rate=1e-3, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        assert not encoder.training
        assert all(p.grad is None for p in encoder.parameters())
        weights.append(next(encoder.parameters()).detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_pair_comes_once_before_any_comes_again(build):
    seen = []

    method = InBatch()
    object.__setattr__(method, "pair", lambda left, right, draw: seen.append(left) or (left, right))
    texts = [(f"{a}", f"{a} {a}") for a in WORDS[:12]]
    tune(build(), texts, method, steps=6, batch_size=4)
    assert sorted(seen[:12]) == sorted(seen[12:]) == sorted(WORDS[:12])
    assert seen[:12] != seen[12:]


def test_pairs_that_share_a_text_are_one_group(build):
    groups = []
    method = InBatch()

    def loss(batch):
        groups.append(batch.groups.tolist())
        return InBatch.loss(method, batch)

    object.__setattr__(method, "loss", loss)
    chain = [("cat", "dog"), ("bird", "dog"), ("bird", "fish"), ("sea", "sun")]
    tune(build(), chain, method, steps=1, batch_size=4)
    assert sorted(groups[0].count(g) for g in set(groups[0])) == [1, 3]
    tune(build(), chain, method, steps=1, batch_size=4, groups=["a", "b", "c", "b"])
    assert sorted(groups[1].count(g) for g in set(groups[1])) == [1, 1, 2]


def test_single_texts_meet_others_of_their_group(build):
    seen = []
    method = SupCon()

    def loss(batch):
        seen.append(batch)
        return SupCon.loss(method, batch)

    object.__setattr__(method, "loss", loss)
    texts = [f"{a} {b}" for a in WORDS for b in WORDS if a < b]
    of = [text.split()[0] for text in texts]
    tune(build(), texts, method, steps=6, batch_size=12, groups=of)
    for batch in seen:
        assert set(batch.vectors) == {"left"}
        assert len(batch.groups) == len(batch.vectors["left"]) <= 12
    with pytest.raises(UsageError, match="'cat' is in two groups"):
        tune(build(), ["cat", "dog", "cat"], "supcon", steps=1, batch_size=2, groups="aab")
    encoder = build()
    found = tune(encoder, PAIRS, "supcon", steps=30, batch_size=16, rate=3e-3)
    assert sum(found.losses[-5:]) < sum(found.losses[:5])


def test_labels_say_which_pairs_are_the_same(build):
    false = [(left, right) for (left, _), (_, right) in zip(PAIRS, PAIRS[7:], strict=False)]
    labels = [True] * len(PAIRS) + [False] * len(false)
    encoder = build(width=16)

    def gap():
        left, right = (
            encoder.encode([p[side] for p in PAIRS + false], convert_to_tensor=True)
            for side in (0, 1)
        )
        cosine = (left * right).sum(1)
        return float(cosine[: len(PAIRS)].mean() - cosine[len(PAIRS) :].mean())

    before = gap()
    tune(
        encoder, PAIRS + false, OnlineContrastive(), labels=labels,
        steps=40, batch_size=16, rate=3e-3, watch=gap, looks=2,
    )  # fmt: skip
    assert gap() > before + 0.1


def test_the_weights_that_were_best_are_kept(build):
    encoder = build()
    weight = next(encoder.parameters())
    said, kept = iter([0.3, 0.9, 0.9, 0.1]), []

    def watch():
        assert not encoder.training
        kept.append(weight.detach().clone())
        return next(said)

    found = tune(encoder, PAIRS, steps=9, rate=1e-3, batch_size=8, watch=watch, looks=3)
    assert found.watched == ((0, 0.3), (3, 0.9), (6, 0.9), (9, 0.1))
    assert torch.equal(weight, kept[1])
    assert not torch.equal(kept[1], kept[2])


def test_dropout_is_on_while_tuning(build):
    """Two readings of one string differ, or a string could not be told from its other view."""
    views = []
    method = MirrorBert(span=0)

    def loss(batch):
        views.append((batch.vectors["left"] - batch.vectors["right"]).detach().abs().max())
        return MirrorBert.loss(method, batch)

    object.__setattr__(method, "loss", loss)
    tune(build(), WORDS, method, steps=1, batch_size=4)
    assert float(views[0]) > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps and looks are at least 1"),
        ({"batch_size": 1}, "the batch is at least 2"),
        ({"rate": -1.0}, "the rate is positive"),
        ({"batch_size": 64}, "36 pairs fill no batch of 64"),
        ({"groups": [1]}, "1 groups for 36 pairs"),
        ({"method": "bpe"}, "'bpe' is no objective over pairs of texts"),
        ({"labels": [True]}, "1 labels for 36 pairs"),
        ({"labels": [True] * 36}, "InBatch has no use for labels"),
        ({"method": "online-contrastive"}, "needs labels of the pairs"),
        ({"looks": 0}, "looks are at least 1"),
    ],
)
def test_refuses_wrong_input(build, change, message):
    given = {"method": "in-batch", "steps": 1} | change
    with pytest.raises(UsageError, match=message):
        tune(build(), PAIRS, **given)


def test_refuses_a_full_folder_and_an_unknown_method(build, tmp_path):
    (tmp_path / "note").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="holds something"):
        tune(build(), PAIRS, steps=1, out=tmp_path)
    with pytest.raises(UnknownNameError, match="in-batch"):
        tune(build(), PAIRS, "inbatch", steps=1)


def test_stops_when_the_loss_is_no_number(build):
    encoder = build()
    with torch.no_grad():
        next(encoder.parameters()).fill_(torch.nan)
    with pytest.raises(TokenryError, match="loss of step 1 is nan"):
        tune(encoder, PAIRS, steps=2)
    assert not encoder.training


def test_claim_strings_come_apart():
    """Mirror-BERT: strings drawn at random are less alike, and two readings of one are nearest."""
    strings = [f"{a} {b}" for a in WORDS for b in WORDS if a < b][:64]
    encoder = text_encoder((bert(), tokenizer()))

    def mean_cosine():
        vectors = encoder.encode(strings, convert_to_tensor=True)
        near = vectors @ vectors.mT
        return float((near.sum() - near.trace()) / (near.numel() - len(near)))

    before = mean_cosine()
    tune(encoder, strings, MirrorBert(span=0), steps=40, batch_size=32, rate=1e-3)
    after = mean_cosine()
    encoder.train()
    torch.manual_seed(0)
    with torch.no_grad():
        given = encoder.preprocess(strings)
        one, two = (encoder(dict(given))["sentence_embedding"] for _ in range(2))
    assert float(((one @ two.mT).argmax(1) == torch.arange(64)).float().mean()) > 0.95
    assert after < before - 0.2
