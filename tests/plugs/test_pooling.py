"""A model over words: who sees whom, tried by changing every word; cost, spelling, saving."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoTokenizer

from tokenry.checks.models import tiny_decoder
from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.plugs.pooling import PooledConfig, PooledModel
from tokenry.plugs.vocabulary import vocabulary
from tokenry.plugs.word_batches import END, WordCollator, byte_tokenizer
from tokenry.vocab import WordPooling

TEXTS = ["the cat  sat\non the mat", "a dog, ünder it"]
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "phi3", "gemma", "gpt2")


def pooled(family="llama", prefix=2, longest=8, **changes):
    shape = {"num_hidden_layers": 2, "max_position_embeddings": 64, **changes}
    method = WordPooling(prefix=prefix, longest=longest)
    made = PooledModel.over(tiny_decoder(family, **shape), method)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                weight.copy_(
                    torch.randn(weight.shape, generator=generator) * len(weight[0]) ** -0.5
                )
    return made.double().eval()


def batch_of(model, texts=TEXTS):
    return WordCollator(model.method)(texts)


def logits_of(model, batch):
    with torch.no_grad():
        return model(batch["input_ids"], batch["attention_mask"]).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_no_word_is_seen_before_its_turn(family):
    """Each byte of each word is changed in turn; only what may change does, and all of that."""
    model = pooled(family)
    batch = batch_of(model, TEXTS[:1])
    before = logits_of(model, batch)[0]
    units = batch["input_ids"]
    for word in range(1, units.shape[1]):
        for place in range(int((units[0, word] != END).sum())):
            changed = {**batch, "input_ids": units.clone()}
            changed["input_ids"][0, word, place] ^= 3
            moved = (logits_of(model, changed)[0] - before).abs().amax(-1) > 1e-9
            assert not moved[: word - 1].any()
            assert not moved[word - 1, : place + 1].any()
            real = batch["labels"][0, 1:] != -100
            assert moved[word - 1, place + 1 :][real[word - 1, place + 1 :]].all()
            assert moved[word:][real[word:]].all()


def test_texts_of_a_batch_do_not_see_each_other():
    model = pooled()
    both = batch_of(model)
    found = logits_of(model, both)
    for i, text in enumerate(TEXTS):
        alone = batch_of(model, [text])
        expected, labels = logits_of(model, alone)[0], alone["labels"][0, 1:]
        w, c = labels.shape
        got = found[i, :w, :c]
        torch.testing.assert_close(got[labels != -100], expected[labels != -100])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_batch_is_what_loops_over_single_words_give(family):
    """Each word is read alone, each beginning of the text alone, each word spelled alone."""
    model = pooled(family, prefix=3)
    n, batch = 3, batch_of(model, TEXTS[:1])
    words = [b"", *model.method.words(TEXTS[0].encode())]
    found = logits_of(model, batch)[0]
    with torch.no_grad():
        read = []
        for word in words:
            x = torch.cat([model.slots.weight, model.units.weight[[*word]]])[None]
            free = torch.zeros(1, 1, n + len(word), n + len(word), dtype=x.dtype)
            read.append(
                model.encoder(inputs_embeds=x, attention_mask=free).last_hidden_state[0, :n]
            )
        for w in range(1, len(words)):
            mask = torch.full((w * n, w * n), torch.finfo(torch.float64).min, dtype=torch.float64)
            for q in range(w * n):
                mask[q, : (q // n + 1) * n] = 0
            state = model.main(
                inputs_embeds=torch.cat(read[:w])[None],
                attention_mask=mask[None, None],
                position_ids=torch.tensor([[i // n for i in range(w * n)]]),
            ).last_hidden_state[0, -n:]
            for place in range(len(words[w]) + 1):
                x = torch.cat([state, model.units.weight[[*words[w][:place]]]])[None]
                expected = model.head(model.decoder(inputs_embeds=x).last_hidden_state[0, -1])
                torch.testing.assert_close(found[w - 1, place], expected)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_both_attentions_take_the_mask(implementation, tmp_path):
    model = pooled()
    model.save_pretrained(tmp_path)
    other = PooledModel.from_pretrained(
        tmp_path, attn_implementation=implementation, dtype=torch.float64
    )
    for part in (other.encoder, other.main, other.decoder):
        assert part.config._attn_implementation == implementation
    found = logits_of(other, batch_of(other))
    # Eager attention takes the softmax in single precision.
    torch.testing.assert_close(found, logits_of(model, batch_of(model)), atol=1e-4, rtol=0)


def test_half_precision_is_kept(tmp_path):
    model = PooledModel.over(tiny_decoder("llama").bfloat16()).eval()
    model.save_pretrained(tmp_path)
    again = PooledModel.from_pretrained(tmp_path)
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}
    found = logits_of(again, batch_of(again))
    assert torch.equal(found, logits_of(model, batch_of(model)))
    assert found.isfinite().all()


def test_padding_words_to_more_bytes_changes_nothing():
    model = pooled()
    batch = batch_of(model)
    wide = torch.nn.functional.pad(batch["input_ids"], (0, 1), value=END)
    found = logits_of(model, {**batch, "input_ids": wide})
    real = batch["labels"][:, 1:] != -100
    expected = logits_of(model, batch)
    torch.testing.assert_close(found[:, :, :-1][real], expected[real])


def test_where_a_long_word_is_cut_changes_nothing_before_it():
    text = "one two " + "x" * 7 + " six"
    long, short = pooled(longest=8), pooled(longest=5)
    short.load_state_dict(long.state_dict())
    one, two = batch_of(long, [text]), batch_of(short, [text])
    first, second = logits_of(long, one)[0], logits_of(short, two)[0]
    assert short.method.words(text.encode())[:2] == long.method.words(text.encode())[:2]
    assert len(second) == len(first) + 1
    for word, size in enumerate((3, 4)):
        torch.testing.assert_close(first[word, : size + 1], second[word, : size + 1])


@pytest.mark.parametrize("n", [1, 2, 4])
def test_main_model_reads_words_and_not_bytes(n):
    model, lengths = pooled(prefix=n), []
    model.main.register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    batch = batch_of(model)
    logits_of(model, batch)
    assert lengths == [(batch["input_ids"].shape[1] - 1) * n]


def test_equal_words_are_read_once():
    model, sizes = pooled(), []
    model.encoder.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    logits_of(model, batch_of(model, ["a b a b a b a b"]))
    assert sizes == [4]  # the empty word, "a", " b" and " a"


SPELLED = "Grüße,  said\n\n\tthe 雪 and\nextraordinarily long"


def test_round_trip_of_what_was_learned():
    """Learned by heart, a text is written to its last byte, and ended."""
    torch.manual_seed(0)
    shape = {"num_hidden_layers": 2, "max_position_embeddings": 64}
    model = PooledModel.over(tiny_decoder("llama", **shape), WordPooling(prefix=2, longest=8))
    batch = WordCollator(model.method)([[*SPELLED.encode(), END]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    assert model.write(b"", 100).decode() == SPELLED
    words = model.method.words(SPELLED.encode())
    for i in range(1, len(words)):
        assert model.write(b"".join(words[:i]), 100) == b"".join(words[i:])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_writing_is_the_likeliest_byte_of_a_whole_pass(family):
    """With caches, word by word, as without, byte by byte."""
    model = pooled(family)
    method, words = model.method, [b"", *WordPooling(longest=8).words(b"a dog")]
    written = b""
    for _ in range(3):
        word = b""
        while len(word) < method.longest:
            units = torch.full((1, len(words) + 1, method.longest), END)
            for i, one in enumerate([*words, word]):
                units[0, i, : len(one)] = torch.tensor([*one])
            unit = int(model(units).logits[0, -1, len(word)].argmax())
            if unit == END:
                break
            word += bytes([unit])
        if not word:
            break
        words, written = [*words, word], written + word
    assert model.write(b"a dog", 3) == written != b""


def test_drawing_follows_the_generator():
    model = pooled()

    def write(seed, **settings):
        generator = torch.Generator().manual_seed(seed)
        return model.write("a", 4, do_sample=True, generator=generator, **settings)

    assert write(1) == write(1)
    assert len({write(seed) for seed in range(4)}) == 4
    assert {write(seed, temperature=1e-4) for seed in range(4)} == {model.write("a", 4)}


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model = pooled(prefix=3, longest=7)
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.state_dict())
    again = PooledModel.from_pretrained(tmp_path, dtype=torch.float64)
    assert again.method == WordPooling(prefix=3, longest=7)
    assert torch.equal(logits_of(again, batch_of(again)), logits_of(model, batch_of(model)))


def test_tokens_of_the_saved_tokenizer_are_bytes(tmp_path):
    byte_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in [*TEXTS, SPELLED, ""]:
        ids = tokenizer(text).input_ids
        assert bytes(ids) == text.encode()
        assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == END
    assert len(tokenizer) == 257


@given(st.text(alphabet="ab é雪\n\t\u00a0\u3000", max_size=40))
def test_the_tokenizer_splits_into_the_words_of_the_method(text):
    scribe = vocabulary(byte_tokenizer()).scribe
    assert scribe.words(text) == WordPooling(longest=1000).words(text.encode())


def test_the_collator_keeps_every_byte():
    method = WordPooling(longest=4)
    batch = WordCollator(method)([SPELLED, {"input_ids": [97, END, 32, 98]}])
    ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"]
    assert bytes(ids[0][ids[0] != END].tolist()) == SPELLED.encode()
    assert ids[1, :4].tolist() == [[END] * 4, [97, *[END] * 3], [END] * 4, [32, 98, END, END]]
    assert mask.sum(1).tolist() == [1 + len(method.words(SPELLED.encode())), 4]
    assert labels[1, :5, :3].tolist() == [
        [END, -100, -100],
        [97, END, -100],
        [END, -100, -100],
        [32, 98, END],
        [-100, -100, -100],
    ]


def test_a_copy_is_trained_and_the_decoder_stays_as_it_was():
    decoder = tiny_decoder("llama")
    before, config = copy.deepcopy(decoder.state_dict()), decoder.config.to_json_string()
    model = PooledModel.over(decoder, "word-pooling(prefix=1)")
    kept = model.main.state_dict()
    for name, weight in decoder.model.state_dict().items():
        assert name == "embed_tokens.weight" or torch.equal(kept[name], weight)
    model(**batch_of(model)).loss.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert all(torch.equal(decoder.state_dict()[name], weight) for name, weight in before.items())
    assert decoder.config.to_json_string() == config


def test_every_weight_but_the_vocabulary_learns():
    model = pooled().train()
    model(**batch_of(model)).loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert not any(p.requires_grad for name, p in model.named_parameters() if name in idle)
    assert sorted(idle) == [f"{x}.embed_tokens.weight" for x in ("decoder", "encoder", "main")]


def test_the_loss_counts_bytes_and_ends():
    model = pooled()
    batch = batch_of(model)
    scores = logits_of(model, batch).log_softmax(-1)
    picked = [
        -scores[b, w, c, batch["labels"][b, w + 1, c]]
        for b, w, c in (batch["labels"][:, 1:] != -100).nonzero().tolist()
    ]
    assert len(picked) == sum(len(t.encode()) + len(model.method.words(t.encode())) for t in TEXTS)
    torch.testing.assert_close(
        model(**batch).loss.double(), torch.stack(picked).mean(), atol=1e-5, rtol=0
    )


def test_wrong_input_is_refused():
    model = pooled()
    collate = WordCollator("word-pooling(longest=12)")
    with pytest.raises(UsageError, match="up to 12 bytes; allowed: at least 2 words of at most 8"):
        model(**collate(["abcdefghijklmnop"]))
    with pytest.raises(UsageError, match="got 1 words"):
        model(**collate([""]))
    with pytest.raises(UsageError, match="got no texts"):
        collate([])
    with pytest.raises(UsageError, match="text 1 holds ids outside 0 to 256"):
        collate(["a", [300]])
    with pytest.raises(UsageError, match=r"temperature=0.0 is not above 0"):
        model.write("a", temperature=0.0)
    with pytest.raises(UsageError, match="'tome' is no rule for words; give word-pooling"):
        WordCollator("tome")
    with pytest.raises(UnknownNameError, match="word-pooling"):
        WordCollator("word-poolin")


def test_a_configuration_without_a_main_model_is_refused():
    with pytest.raises(UsageError, match="the configuration names no main model"):
        PooledModel(PooledConfig())


def test_sliding_windows_are_refused():
    with pytest.raises(UnsupportedModelError, match="PooledModel: Gemma3TextModel has layers"):
        PooledModel.over(tiny_decoder("gemma3"))


def test_the_configuration_names_the_rule(tmp_path):
    pooled(prefix=1).config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["pooling"]["method"] == "word-pooling"
    assert saved["pooling"]["prefix"] == 1
    assert saved["main"]["vocab_size"] == 1
