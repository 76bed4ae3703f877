"""Lexinvariant models: every text has rows of its own, and renaming symbols renames predictions."""

import re
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Annotated

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

import tokenry
from tokenry.checks.models import tiny_decoder, words
from tokenry.errors import AttachError, UnsupportedModelError, UsageError
from tokenry.method import RowSampler
from tokenry.vocab import Lexinvariant

V, D = 40, 16


@dataclass(frozen=True, kw_only=True)
class Given(RowSampler):
    """Rows that the test chose."""

    held: Annotated[torch.Tensor | None, "the rows"] = None

    def rows(self, learned, special, count, source):
        return self.held[:count]


def small(**settings):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=D,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        **settings,
    )
    return LlamaForCausalLM(config).eval()


def texts(rows, length, seed=0):
    return torch.randint(2, V, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_renaming_the_symbols_renames_the_predictions():
    model, ids, held = small(), texts(3, 12), torch.randn(3, V, D)
    renamed = torch.randperm(V)
    with tokenry.attach(model, Given(held=held)):
        plain = model(ids).logits
    moved = torch.empty_like(held)
    moved[:, renamed] = held
    with tokenry.attach(model, Given(held=moved)):
        other = model(renamed[ids]).logits
    torch.testing.assert_close(other[..., renamed], plain)


@torch.no_grad()
def test_what_is_read_is_what_is_written_with():
    """The decoder alone, fed with the drawn rows, and its output taken against the same rows."""
    model, ids = small(), texts(3, 9)
    with tokenry.attach(model, Lexinvariant()) as attachment:
        logits, rows = model(ids).logits, attachment.rows
    for i in range(3):
        read = torch.stack([rows[i, token] for token in ids[i].tolist()])
        hidden = model.model(inputs_embeds=read[None]).last_hidden_state[0]
        torch.testing.assert_close(logits[i], hidden @ rows[i].T)


def test_rows_are_gaussian_and_each_text_has_its_own():
    learned, special = torch.zeros(500, 64), torch.zeros(500, dtype=torch.bool)
    rows = Lexinvariant().rows(learned, special, 4, torch.Generator().manual_seed(0))
    assert rows.var(dim=(1, 2)) == pytest.approx(1 / 64, rel=0.05)
    assert rows.mean().abs() < 0.001
    assert (rows[0] - rows[1]).abs().min() > 0


def test_a_share_keeps_learned_rows_and_special_tokens_keep_theirs():
    learned, special = torch.full((2000, 4), 7.0), torch.arange(2000) < 100
    rows = Lexinvariant(share=0.3).rows(learned, special, 2, torch.Generator().manual_seed(0))
    drawn = (rows != 7).any(-1)
    assert not drawn[:, :100].any()
    assert drawn[:, 100:].float().mean() == pytest.approx(0.3, abs=0.03)
    assert (drawn[0] != drawn[1]).any()
    every = Lexinvariant(special=False).rows(learned, special, 1, torch.Generator().manual_seed(0))
    assert (every != 7).any(-1).all()


@torch.no_grad()
def test_a_text_keeps_its_rows_while_it_is_written():
    model, ids = small(), texts(2, 8)
    with tokenry.attach(model, Lexinvariant()) as attachment:
        written = model.generate(ids, max_new_tokens=9, min_new_tokens=9, do_sample=False)
        rows = attachment.rows
    with tokenry.attach(model, Given(held=rows)):
        for n in range(8, 17):
            logits = model(written[:, :n]).logits[:, -1]
            logits[:, 1] = -torch.inf  # the end, which min_new_tokens forbids
            assert torch.equal(logits.argmax(-1), written[:, n])


@torch.no_grad()
def test_beams_of_a_prompt_are_read_with_the_same_rows():
    model, ids = small(), texts(2, 8)
    with tokenry.attach(model, Lexinvariant()) as attachment:
        model.generate(ids, max_new_tokens=5, num_beams=3, do_sample=False)
        rows = attachment.rows.unflatten(0, (2, 3))
    assert (rows == rows[:, :1]).all()
    assert (rows[0] != rows[1]).any()


@torch.no_grad()
def test_the_first_prediction_favours_no_symbol():
    """One token is read; over many draws all others are equally likely next."""
    model, ids = small(), torch.full((1, 1), 5)
    with tokenry.attach(model, Lexinvariant(special=False)):
        chance = torch.stack([model(ids).logits[0, 0].softmax(-1) for _ in range(600)])
    others = chance.mean(0)[torch.arange(V) != 5]
    assert (others - others.mean()).abs().max() < 5 * chance.std(0).max() / 600**0.5


def test_draws_are_new_for_each_call_and_repeat_with_the_seed():
    model, ids = small(), texts(2, 6)

    def two(seed):
        with torch.no_grad(), tokenry.attach(model, Lexinvariant(seed=seed)):
            return model(ids).logits, model(ids).logits

    first, second = two(0)
    assert not torch.allclose(first, second)
    assert torch.equal(two(0)[0], first)
    assert not torch.equal(two(1)[0], first)


def test_gradients_reach_the_model_and_the_rows_that_are_kept():
    model, ids = small(), texts(2, 6)
    with tokenry.attach(model, Lexinvariant(share=0.5)):
        model(ids, labels=ids).loss.backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0
    model.zero_grad()
    with tokenry.attach(model, Lexinvariant(special=False)):
        model(ids, labels=ids).loss.backward()
    grad = model.get_input_embeddings().weight.grad
    assert grad is None or not grad.any()


@torch.no_grad()
def test_the_model_comes_back_as_it_was():
    model, ids = small(), texts(2, 6)
    before = model(ids).logits
    with tokenry.attach(model, "lexinvariant") as attachment:
        assert not torch.allclose(model(ids).logits, before)
        with pytest.raises(AttachError, match="already carries a method"):
            tokenry.attach(model, "lexinvariant")
    attachment.detach()
    assert torch.equal(model(ids).logits, before)
    assert not model._forward_pre_hooks


@torch.no_grad()
def test_what_cannot_be_is_refused():
    with pytest.raises(UnsupportedModelError, match="one vector each"):
        tokenry.attach(torch.nn.Linear(2, 2), "lexinvariant")
    model, ids = small(), texts(2, 6)
    with tokenry.attach(model, "lexinvariant"):
        with pytest.raises(UsageError, match="no input_ids"):
            model(inputs_embeds=torch.zeros(1, 2, D))
        cache = model(ids).past_key_values
        with pytest.raises(UsageError, match="holds 1 texts, but rows were drawn for 2"):
            model(ids[:1, :1], past_key_values=cache)


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_other_decoders(kind):
    model, ids = tiny_decoder(kind), words(2, 7)
    with torch.no_grad(), tokenry.attach(model, "lexinvariant") as attachment:
        assert model(ids).logits.shape[-1] == attachment.rows.shape[1]


@dataclass(frozen=True, kw_only=True)
class Learned(RowSampler):
    """Every text has the model's own rows."""

    def rows(self, learned, special, count, source):
        return learned.expand(count, -1, -1)


@pytest.mark.parametrize("kind", ["llama", "gemma", "gemma3"])
@torch.no_grad()
def test_the_models_own_rows_are_the_model(kind):
    """Gemma multiplies what it reads."""
    model, ids = tiny_decoder(kind, tie_word_embeddings=True), words(2, 7)
    expected = model(ids).logits
    with tokenry.attach(model, Learned()):
        torch.testing.assert_close(model(ids).logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["BartForConditionalGeneration", "Gemma3nForCausalLM"])
def test_a_second_table_of_tokens_is_refused(name):
    cls = getattr(transformers, name)
    sizes = {"d_model": 32, "hidden_size": 32, "vocab_size": 97, "num_hidden_layers": 1}
    sizes |= {"vocab_size_per_layer_input": 97, "num_kv_shared_layers": 0}
    with torch.device("meta"):
        model = cls(cls.config_class(**sizes))
    with pytest.raises(UnsupportedModelError, match=f"{name} reads tokens with more tables"):
        tokenry.attach(model, "lexinvariant")


LETTERS = "abcdefghijklmnopqrstuvwxyz "
LENGTH = 96


@pytest.fixture(scope="module")
def letters():
    """Python's reference, as letters and spaces: a part to learn from, and one held out."""
    text = " ".join(topics[name] for name in sorted(topics)).lower()
    ids = torch.tensor([LETTERS.index(x) for x in re.sub(r"[^a-z]+", " ", text)])
    return ids[:-60_000], ids[-60_000:]


def drawn(ids, size, source):
    starts = torch.randint(0, len(ids) - LENGTH, (size, 1), generator=source)
    return ids[starts + torch.arange(LENGTH)]


def losses(model, ids):
    logits = model(ids).logits[:, :-1]
    return cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


def taught(ids, steps, size, method=None):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
        initializer_range=0.08,
        bos_token_id=None,
        eos_token_id=None,
    )
    model, source = LlamaForCausalLM(config), torch.Generator().manual_seed(1)
    attachment = tokenry.attach(model, method) if method else None
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps, pct_start=0.1)
    for _ in range(steps):
        loss = losses(model, drawn(ids, size, source)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        plan.step()
    if attachment:
        attachment.detach()
    return model.eval()


@pytest.fixture(scope="module")
def models(letters):
    return taught(letters[0], 300, 64, Lexinvariant()), taught(letters[0], 150, 16)


@torch.no_grad()
def measured(model, ids, rounds=4, method=None, renamed=None):
    """Mean loss at each position, on the same held-out texts."""
    source, found = torch.Generator().manual_seed(2), []
    for seed in range(rounds):
        batch = drawn(ids, 64, source)
        batch = batch if renamed is None else renamed[batch]
        if method is None:
            found.append(losses(model, batch))
        else:
            with tokenry.attach(model, Lexinvariant(seed=100 + seed)):
                found.append(losses(model, batch))
    return torch.cat(found)


@pytest.mark.slow
def test_claim_a_cipher_is_read_like_plain_text(models, letters):
    lexinvariant, plain = models
    renamed = torch.randperm(27, generator=torch.Generator().manual_seed(3))
    inside = measured(lexinvariant, letters[1], method=True).mean(1)
    cipher = measured(lexinvariant, letters[1], method=True, renamed=renamed).mean(1)
    noise = (inside.var() / len(inside) + cipher.var() / len(cipher)).sqrt()
    assert abs(inside.mean() - cipher.mean()) < 4 * noise
    known = measured(plain, letters[1]).mean()
    broken = measured(plain, letters[1], renamed=renamed).mean()
    print(f"{inside.mean():.3f} {cipher.mean():.3f} +- {noise:.3f}; {known:.3f} {broken:.3f}")
    assert broken > known + 1


@pytest.mark.slow
def test_claim_what_was_read_tells_what_symbols_mean(models, letters):
    loss = measured(models[0], letters[1], method=True)
    first, last = loss[:, :12].mean(1), loss[:, -24:].mean(1)
    gain = first - last
    print(f"{first.mean():.3f} {last.mean():.3f}")
    assert gain.mean() - 4 * gain.std() / len(gain) ** 0.5 > 0
    uniform = torch.log(torch.tensor(27.0))
    assert last.mean() < uniform
