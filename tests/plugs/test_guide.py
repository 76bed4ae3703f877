"""The draft model's probabilities against fresh runs, what it computes, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LogitsProcessorList,
    MinPLogitsWarper,
    MistralConfig,
    MistralForCausalLM,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
)

from tokenry.decoding import DySpec
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import TokenTree
from tokenry.plugs import drafting, guide
from tokenry.plugs.attach import attach
from tokenry.plugs.drafting_curve import Curve
from tokenry.plugs.guide import WINDOW, Guide
from tokenry.plugs.past import cache_in

TREE = TokenTree(torch.tensor([5, 6, 7, 8, 5, 9]), torch.tensor([-1, -1, 0, 2, 1, 0]))
"""0:5 (2:7 (3:8), 5:9), 1:6 (4:5)."""
TEXT = torch.tensor([11, 12, 13, 14, 15])


def cut(tree, n):
    return TokenTree(tree.tokens[:n], tree.parents[:n])


def paths(tree):
    found = []
    for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
        found.append([*(found[parent] if parent >= 0 else []), token])
    return [[], *found]


def fresh(model, text, tree):
    """A run without a cache for each node."""
    rows = []
    for path in paths(tree):
        ids = torch.cat([text, torch.tensor(path, dtype=torch.long)])
        with torch.no_grad():
            rows.append(model(ids[None]).logits[0, -1].float().softmax(-1))
    return torch.stack(rows)


@pytest.fixture
def models(language):
    """Two tiny Llamas of one vocabulary, in float64."""
    target = language().model.double()
    draft = copy.deepcopy(target)
    with torch.no_grad():
        for weight in draft.parameters():
            weight.mul_(0.9)
    return target, draft


@pytest.fixture
def fed(models):
    """How many tokens the draft read in each of its passes."""
    counts = []

    def note(_, __, kwargs):
        if cache_in(kwargs) is not None:
            counts.append(kwargs["input_ids"].shape[1])

    models[1].register_forward_pre_hook(note, with_kwargs=True)
    return counts


def equal(found, expected, tolerance=1e-6):
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_tree_in_one_pass_equals_a_run_for_each_node(models, attention):
    target, draft = models
    draft.set_attn_implementation(attention)
    ask = Guide("DySpec", draft, target).under(0, TEXT, 6, [])
    equal(ask(TREE), fresh(draft, TEXT, TREE))


def test_learned_positions_are_true_positions(models):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    draft = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        draft.transformer.wpe.weight.mul_(50)
    ask = Guide("DySpec", draft, models[0]).under(0, TEXT, 6, [])
    equal(ask(TREE), fresh(draft, TEXT, TREE))


def test_a_tree_that_grows_reads_only_its_new_nodes(models, fed):
    target, draft = models
    ask = Guide("DySpec", draft, target).under(0, TEXT, 6, [])
    expected = fresh(draft, TEXT, TREE)
    del fed[:]
    for n in (0, 2, 2, 5, 6):
        equal(ask(cut(TREE, n)), expected[: n + 1])
    assert fed == [2, 3, 1]


def test_a_tree_may_become_larger_than_was_said(models):
    target, draft = models
    ask = Guide("DySpec", draft, target).under(0, TEXT, 2, [])
    equal(ask(cut(TREE, 3)), fresh(draft, TEXT, cut(TREE, 3)))
    equal(ask(TREE), fresh(draft, TEXT, TREE))


def test_another_tree_takes_the_place_of_the_last(models):
    target, draft = models
    ask = Guide("DySpec", draft, target).under(0, TEXT, 6, [])
    ask(TREE)
    other = TokenTree(torch.tensor([5, 40, 41]), torch.tensor([-1, 0, 1]))
    equal(ask(other), fresh(draft, TEXT, other))


@pytest.mark.parametrize(
    ("more", "read"),
    [([5, 7, 8, 30], 1), ([5, 9, 30], 1), ([6, 30], 1), ([30], 1), ([5, 7], 1), ([5, 30, 7], 2)],
)
def test_accepted_nodes_stay_and_only_new_text_is_read(models, fed, more, read):
    target, draft = models
    held = Guide("DySpec", draft, target)
    held.under(0, TEXT, 6, [])(TREE)
    text = torch.cat([TEXT, torch.tensor(more)])
    del fed[:]
    ask = held.under(0, text, 6, [])
    assert fed == [read]
    equal(ask(TREE), fresh(draft, text, TREE))


def test_another_text_keeps_the_beginning_that_it_shares(models, fed):
    target, draft = models
    held = Guide("DySpec", draft, target)
    held.under(0, TEXT, 6, [])(TREE)
    for text, read in (([11, 12, 20, 21], 2), ([11, 12], 1), ([30, 31], 2), ([30, 31], 1)):
        text = torch.tensor(text)
        del fed[:]
        ask = held.under(0, text, 6, [])
        assert fed == [read]
        equal(ask(TREE), fresh(draft, text, TREE))


def test_a_text_that_changes_in_place_is_not_taken_for_the_old_one(models):
    target, draft = models
    held, text = Guide("DySpec", draft, target), TEXT.clone()
    held.under(0, text, 6, [])
    text[2:] += 20
    equal(held.under(0, text, 6, [])(TREE), fresh(draft, text, TREE))


@pytest.mark.parametrize("layer", [0, 1])
def test_a_pass_that_failed_can_be_tried_again(models, layer):
    target, draft = models
    held = Guide("DySpec", draft, target)

    def failing(ask):
        handle = draft.model.layers[layer].mlp.register_forward_pre_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            ask()
        handle.remove()

    for text in (TEXT, torch.cat([TEXT, torch.tensor([5, 9, 30])])):
        failing(lambda text=text: held.under(0, text, 6, []))
        ask = held.under(0, text, 6, [])
        ask(cut(TREE, 2))
        failing(lambda ask=ask: ask(TREE))
        equal(ask(TREE), fresh(draft, text, TREE))


def stop(*_):
    raise KeyboardInterrupt


def test_rows_of_a_batch_do_not_know_each_other(models, fed):
    target, draft = models
    held = Guide("DySpec", draft, target)
    texts = [TEXT, torch.tensor([40, 41])]
    asks = [held.under(row, text, 6, []) for row, text in enumerate(texts)]
    for text, ask in zip(texts, asks, strict=True):
        equal(ask(TREE), fresh(draft, text, TREE))
    held.start(1)
    del fed[:]
    held.under(0, TEXT, 6, [])
    held.under(1, texts[1], 6, [])
    assert fed == [1, 2]


def test_filters_of_the_model_shape_the_draft_and_nothing_else_does(models):
    target, draft = models
    filters = [TemperatureLogitsWarper(0.5), TopKLogitsWarper(9), MinPLogitsWarper(0.05)]
    every = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(5.0), *filters])
    found = Guide("DySpec", draft, target).under(0, TEXT, 6, every)(TREE)
    scores = fresh(draft, TEXT, TREE).double().log()
    for row, line in zip(found, scores, strict=True):
        warm = (line / 0.5).softmax(-1)
        stay = (warm >= warm.sort(descending=True).values[8]) & (warm >= 0.05 * warm.max())
        equal(row, torch.where(stay, warm, 0).div(warm[stay].sum()).float(), 1e-5)
        assert 0 < int(stay.sum()) < 257


def test_past_its_own_positions_the_draft_says_nothing(models, language):
    short = language(max_position_embeddings=8).model.double()
    held = Guide("DySpec", short, models[0])
    assert held.under(0, TEXT, 3, []) is not None
    assert held.under(0, TEXT, 4, []) is None


def test_another_vocabulary_is_refused_and_bytes_are_offered(models, language):
    draft = language(vocab_size=300).model
    with pytest.raises(UsageError, match=r"has 300 tokens, the model 257.*byte-exact"):
        Guide("DySpec", draft, models[0])


def test_a_tokenizer_that_means_other_text_is_refused(language, tmp_path):
    from tokenry import zoo

    for name in ("one", "two"):
        loaded = language()
        if name == "two":
            loaded.processor.add_tokens(["<other>"])
        loaded.model.save_pretrained(tmp_path / name)
        loaded.processor.save_pretrained(tmp_path / name)
    target = zoo.load(tmp_path / "one").model
    Guide("DySpec", str(tmp_path / "one"), target)
    with pytest.raises(UsageError, match=r"1 tokens stand for other text, '<other>' for one"):
        Guide("DySpec", str(tmp_path / "two"), target)


def test_a_draft_by_name_takes_the_models_dtype(language, tmp_path):
    loaded = language()
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    target = language().model.double()
    found = Guide("DySpec", str(tmp_path), target).under(0, TEXT, 6, [])(TREE)
    equal(found, fresh(target, TEXT, TREE))


def test_another_device_is_refused(models):
    target, draft = models
    with pytest.raises(UsageError, match=r"draft model is on meta, the model on cpu; .*'cpu'"):
        Guide("DySpec", draft.to("meta"), target)


def test_models_that_cannot_go_back_are_refused(models):
    small = {"vocab_size": 257, "hidden_size": 32, "num_attention_heads": 4}
    bert = BertForMaskedLM(BertConfig(**small, intermediate_size=32, num_hidden_layers=1))
    with pytest.raises(UnsupportedModelError, match="BertForMaskedLM cannot be the draft"):
        Guide("DySpec", bert, models[0])
    with pytest.raises(UnsupportedModelError, match="Linear cannot be the draft model"):
        Guide("DySpec", torch.nn.Linear(1, 1), models[0])
    sliding = MistralConfig(
        **small, intermediate_size=32, num_hidden_layers=1, num_key_value_heads=2, sliding_window=8
    )
    with pytest.raises(UnsupportedModelError, match="DynamicSlidingWindowLayer"):
        Guide("DySpec", MistralForCausalLM(sliding), models[0])


def test_attention_that_takes_no_mask_is_refused(models):
    target, draft = models
    draft.config._attn_implementation = "flex_attention"
    with pytest.raises(UsageError, match="'flex_attention', which cannot carry the mask"):
        Guide("DySpec", draft, target)


LONG = torch.arange(120) % 90 + 3
CHEAP = Curve({1: 0.01, 2: 0.01, 4: 0.01, 64: 0.02})


def test_to_try_only_the_end_of_a_text_is_read(models, fed):
    target, draft = models
    held = Guide("DySpec", draft, target)
    equal(held.under(0, LONG, 6, [], whole=False)(TREE), fresh(draft, LONG[-WINDOW:], TREE))
    longer = torch.cat([LONG, torch.tensor([40, 41])])
    held.under(0, longer, 6, [], whole=False)
    assert fed == [WINDOW, 6, 2]
    equal(held.under(0, longer, 6, [])(TREE), fresh(draft, longer, TREE))
    held.under(0, torch.cat([longer, LONG[:3]]), 6, [], whole=False)
    assert fed[3:] == [122, 6, 3], "what is read stays read"
    held.under(0, LONG[:50], 6, [], whole=False)
    held.under(0, LONG.flip(0), 6, [], whole=False)
    assert fed[6:] == [1, WINDOW]


def test_what_reading_a_text_will_take_is_known(models, monkeypatch):
    target, draft = models
    monkeypatch.setattr(guide, "curve", lambda model, batch: CHEAP)
    held = Guide("DySpec", draft, target)
    assert held.unread(0, LONG) == 0, "a given budget asks no price"
    assert held.weigh() == CHEAP.cost(WINDOW)
    assert held.unread(0, LONG) == pytest.approx(120 / 64 * 0.02)
    assert held.unread(0, LONG[:WINDOW]) == 0
    held.under(0, LONG, 6, [], whole=False)
    assert held.unread(0, LONG) > 0
    assert held.spent() == 0
    held.under(0, LONG, 6, [])
    assert held.unread(0, LONG) == 0
    assert held.spent() > 0
    assert held.spent() == 0


def test_a_draft_that_does_not_pay_never_reads_the_prompt(models, fed, monkeypatch):
    target, draft = models
    steep = Curve({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0})
    monkeypatch.setattr(guide, "curve", lambda model, batch: CHEAP)
    monkeypatch.setattr(drafting, "curve", lambda model, batch: steep)
    plain = target.generate(LONG[None], max_new_tokens=30, do_sample=False)
    del fed[:]
    with attach(target, DySpec(model=draft)) as attachment:
        written = target.generate(LONG[None], max_new_tokens=30, do_sample=False)
    assert torch.equal(written, plain)
    assert "no drafts" in attachment.trace.verdict
    assert fed[0] == WINDOW
    assert max(fed) == WINDOW
