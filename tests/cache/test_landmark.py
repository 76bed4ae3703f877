"""Landmark attention against loops over tokens, and what it finds."""

import math
import sys
from importlib import util
from pathlib import Path

import pytest
import torch
from transformers import (
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    StaticCache,
    Trainer,
    TrainingArguments,
)

import tokenry
from tokenry.cache import Landmark
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import MarkedView
from tokenry.ops.landmark import grouped_softmax, place_marks
from tokenry.ops.rope import rotate
from tokenry.plugs.landmarks import add_landmark

BLOCK, VOCAB = 4, 31
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.fixture
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**SHAPE)).double().eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        add_landmark(model, BLOCK)
    return model


def drawn(*shape, high=VOCAB, seed=0):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(scores, width):
    """Weights of one head by the paper's rule, one query and one key at a time.

    `scores[i][j]`; token `i` is a landmark when `i % width == width - 1`.
    """
    n = len(scores)
    weights = [[0.0] * n for _ in range(n)]
    for i in range(n):
        groups = {}
        for j in range(i + 1):
            landmark, same = j % width == width - 1, j // width == i // width
            if same and landmark:
                continue
            groups.setdefault("own" if same or landmark else j // width, []).append(j)
        share = {}
        for members in groups.values():
            total = sum(math.exp(scores[i][j]) for j in members)
            share |= {j: math.exp(scores[i][j]) / total for j in members}
        for j in share:
            if j // width == i // width:
                weights[i][j] = share[j]
            elif j % width != width - 1:
                weights[i][j] = share[j] * share[j // width * width + width - 1]
    return torch.tensor(weights, dtype=torch.float64)


def masks(n, width):
    """`earlier` and `own` of a text of `n` slots, a whole number of blocks."""
    i, block = torch.arange(n), torch.arange(n // width)
    token = torch.arange(n).view(-1, width)[:, :-1]
    own = (token <= i[:, None, None]) & (block[:, None] == i[:, None, None] // width)
    return block < i[:, None] // width, own


@pytest.mark.parametrize("width", [2, 3, 5])
def test_weights_are_those_of_a_double_loop(width):
    n = 4 * width
    scores = normal(n, n) * 3
    weights = grouped_softmax(scores.view(n, -1, width), *masks(n, width)).flatten(1)
    torch.testing.assert_close(weights, by_hand(scores.tolist(), width), atol=1e-12, rtol=0)


def test_rows_sum_to_one_and_landmarks_get_nothing():
    weights = grouped_softmax(normal(2, 15, 3, 5), *masks(15, 5))
    torch.testing.assert_close(weights.sum((-1, -2)), torch.ones(2, 15, dtype=torch.float64))
    assert weights[..., -1].eq(0).all()
    assert weights[:, 7, 1].gt(0).tolist() == [[True, True, True, False, False]] * 2


def test_gradient_of_the_weights():
    scores = normal(6, 2, 3).requires_grad_()
    earlier, own = masks(6, 3)
    earlier[2], own[2] = False, False  # a row that reads nothing
    assert torch.autograd.gradcheck(lambda x: grouped_softmax(x, earlier, own), scores)
    assert grouped_softmax(scores, earlier, own)[2].eq(0).all()


def test_half_precision_is_rounded_once():
    scores = normal(15, 3, 5).bfloat16()
    exact = grouped_softmax(scores.float(), *masks(15, 5))
    assert torch.equal(grouped_softmax(scores, *masks(15, 5)), exact.bfloat16())


def test_one_block_is_a_plain_causal_softmax():
    q, k, v = normal(1, 2, 7, 8, seed=1), normal(1, 2, 7, 8, seed=2), normal(1, 2, 7, 8, seed=3)
    view = MarkedView(q, k, v, None, 0.3, torch.ones(4))
    out, _ = Landmark(block=7).attend(view)
    plain = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
    torch.testing.assert_close(out.transpose(1, 2), plain)


def retrieved_by_hand(view, policy, query, before):
    """One query of one text without padding: each head's weights over slots, by loops.

    `before` slots had come before the chunk of the query. Blocks are moved by rotating their keys.
    """
    w, heads = policy.block + 1, view.queries.shape[1]
    s, t = view.keys.shape[2], view.queries.shape[2]
    n, k = before // w, policy.blocks
    q = view.queries[0, :, query - s + t]
    out, read = [], []
    for h in range(heads):
        keys = view.keys[0, h // (heads // view.keys.shape[1])]

        def score(slot, moved, q=q[h], keys=keys):
            key = rotate(keys[None, None, slot : slot + 1], torch.tensor([moved]), view.inv_freq)
            return float(q @ key.flatten() * view.scale)

        marks = []
        for j in range(n):
            slot = max(0, j - (n - k - 1))  # as in a text of k + 1 blocks
            marks.append(score(j * w + w - 1, (slot - j + n - k - 1) * w))
        best = sorted(sorted(range(n), key=lambda j: -marks[j])[:k])
        found = []
        for i, j in enumerate(best):
            slot = i + 1 if j >= n - k else i
            found += [(p, (slot - j + n - k - 1) * w) for p in range(j * w, j * w + w)]
        found += [(p, 0) for p in range(n * w, query + 1)]
        while len(found) % w or len(found) // w <= k + (query - n * w) // w:
            found.append((query, 0))
        line = [0.0] * len(found)
        at = k * w + query - n * w
        line[: at + 1] = [score(p, moved) for p, moved in found[: at + 1]]
        scores = [[0.0] * len(found) for _ in found]
        scores[at] = line
        weights = by_hand(scores, w)[at]
        out.append(
            sum(x * view.values[0, h // 2, p] for x, (p, _) in zip(weights, found, strict=True))
        )
        read.append([p for p, _ in found[: at + 1]])
    return torch.stack(out), read


@pytest.mark.parametrize("chunk", [1, 4, 9])
def test_retrieval_is_that_of_loops(chunk):
    s, t = 43, 9
    q, k, v = normal(1, 4, t, 8, seed=1), normal(1, 2, s, 8, seed=2), normal(1, 2, s, 6, seed=3)
    view = MarkedView(q * 3, k, v, None, 0.5, torch.tensor([1.0, 0.3, 0.1, 0.01]))
    policy = Landmark(block=BLOCK, blocks=2, chunk=chunk)
    out, read = policy.attend(view)
    for query in range(s - t, s):
        before = s - t + (query - s + t) // chunk * chunk
        expected, slots = retrieved_by_hand(view, policy, query, before)
        torch.testing.assert_close(out[0, query - s + t], expected, atol=1e-6, rtol=0)
    assert read[0].tolist() == slots


def test_a_query_reads_its_blocks_and_the_local_rest(model):
    with tokenry.attach(model, Landmark(block=BLOCK, blocks=2)) as attachment, torch.no_grad():
        cache = None
        for i in range(40):
            cache = model(drawn(1, 1, seed=i), past_key_values=cache).past_key_values
            slots = i + 1 + i // BLOCK  # the query's own, before a landmark may follow
            full, local = divmod(slots - 1, BLOCK + 1)
            follows = (i + 1) % BLOCK == 0
            want = min(full, 2) * (BLOCK + 1) + local + 1 + follows
            assert attachment.trace.read == (want,) * 2
            assert attachment.trace.tokens[0].shape == (1, 4, want)


@pytest.mark.parametrize("choice", ["heads", "chunk"])
def test_choices_are_shared(choice):
    q, k, v = normal(1, 4, 3, 8, seed=1), normal(1, 2, 43, 8, seed=2), normal(1, 2, 43, 8, seed=3)
    view = MarkedView(q * 2, k, v, None, 1.0, torch.tensor([1.0, 0.3, 0.1, 0.01]))
    policy = Landmark(block=BLOCK, blocks=1, chunk=3, choice=choice)
    out, read = policy.attend(view)
    block = read[0, :, 0] // (BLOCK + 1)
    marks = k[:, :, BLOCK : 8 * (BLOCK + 1) : BLOCK + 1]
    moved = ((8 - 1 - 1) - torch.arange(8)).clamp(min=0) * (BLOCK + 1)
    marks = rotate(marks, moved, view.inv_freq).repeat_interleave(2, 1)
    share = (q * 2 @ marks.transpose(2, 3)).softmax(-1)
    if choice == "heads":
        assert block.tolist() == [int(share[0, :, -1].amax(0).argmax())] * 4
    else:
        assert block.tolist() == share[0].amax(1).argmax(-1).tolist()
        alone = Landmark(block=BLOCK, blocks=1, chunk=3).attend(view)[0]
        one = (share[0].argmax(-1) == block[:, None]).T  # queries whose own choice it was
        assert one.any()
        assert not one.all()
        torch.testing.assert_close(out[0][one], alone[0][one])


def test_marks_go_in_text_by_text():
    valid = torch.tensor([[True] * 5, [False, True, True, True, True]])
    marks = place_marks(valid, 2)
    ids = torch.arange(10).view(2, 5)
    for row, text in enumerate(([0, 1, 99, 2, 3, 99, 4], [6, 7, 99, 8, 9, 99])):
        held = marks.inserted(ids, 99)[row][marks.valid[row]]
        assert held.tolist() == text
        assert marks.rank[row][marks.valid[row]].tolist() == list(range(len(text)))
    assert marks.inserted(ids, 99)[0, marks.answers[0]].tolist() == [0, 99, 2, 99, 4]


def test_a_pass_equals_the_text_with_landmarks(model):
    """The outputs are those of a decoder written out, with attention by loops."""
    ids = drawn(1, 10)
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK)):
        hidden = model.model(ids).last_hidden_state
    expected = by_layers(model, ids[0])
    torch.testing.assert_close(hidden[0], expected, atol=1e-6, rtol=0)


def by_layers(model, ids):
    """The decoder's output for each token, with landmarks in between and attention by loops."""
    marked, answers = [], []
    for i, token in enumerate(ids.tolist()):
        marked += [token, VOCAB] if i % BLOCK == BLOCK - 1 else [token]
        answers.append(len(marked) - 1)
    n, decoder = len(marked), model.model
    x = decoder.embed_tokens(torch.tensor([marked]))
    inv_freq = decoder.rotary_emb.inv_freq
    with torch.no_grad():
        for layer in decoder.layers:
            y, attention = layer.input_layernorm(x), layer.self_attn
            q, k, v = (
                project(y).view(1, n, -1, 8).transpose(1, 2)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            q, k = (rotate(z, torch.arange(n), inv_freq) for z in (q, k))
            k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
            scores = q @ k.transpose(2, 3) / 8**0.5
            heads = [by_hand(scores[0, h].tolist(), BLOCK + 1) @ v[0, h] for h in range(4)]
            x = x + attention.o_proj(torch.cat(heads, -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return decoder.norm(x)[0, answers]


def test_all_blocks_retrieved_equals_the_training_pass(model):
    ids = drawn(2, 23)
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK, chunk=5)) as attachment:
        whole = model(ids, use_cache=False).logits
        assert attachment.trace is None
        cache, out = None, []
        for step in (7, 1, 1, 1, 6, 4, 3):
            done = sum(x.shape[1] for x in out)
            given = ids[:, done : done + step]
            answer = model(given, past_key_values=cache)
            cache, out = answer.past_key_values, [*out, answer.logits]
        assert attachment.trace.share == 1
    torch.testing.assert_close(torch.cat(out, 1), whole)


def test_more_blocks_than_there_are_change_nothing(model):
    ids = drawn(1, 23)
    with torch.no_grad():
        with tokenry.attach(model, Landmark(block=BLOCK)):
            every = model(ids).logits
        with tokenry.attach(model, Landmark(block=BLOCK, blocks=5, chunk=1)):
            torch.testing.assert_close(model(ids).logits, every)
        with tokenry.attach(model, Landmark(block=BLOCK, blocks=2, chunk=1)):
            some = model(ids).logits
    assert torch.equal(some[:, :11].argmax(-1), every[:, :11].argmax(-1))
    assert not torch.allclose(some[:, -1], every[:, -1])


def test_keep_sets_the_share_that_is_read(model):
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK, keep=0.3)) as attachment:
        cache = model(drawn(1, 400)).past_key_values
        for i in range(8):
            cache = model(drawn(1, 1, seed=i), past_key_values=cache).past_key_values
            assert attachment.trace.share == pytest.approx(0.3, abs=0.01)
        assert attachment.trace.bytes_resident == attachment.trace.bytes_full


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("settings", [{}, {"blocks": 2, "chunk": 1}, {"keep": 0.5, "chunk": 1}])
def test_padding_changes_nothing(model, side, settings):
    texts, length = [drawn(n, seed=n) for n in (23, 17, 12)], 23
    ids, mask = torch.zeros(3, length, dtype=torch.long), torch.zeros(3, length, dtype=torch.long)
    for row, text in enumerate(texts):
        at = slice(length - len(text), None) if side == "left" else slice(len(text))
        ids[row, at], mask[row, at] = text, 1
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK, **settings)):
        together = model(ids, attention_mask=mask).logits
        for row, text in enumerate(texts):
            alone = model(text[None]).logits[0]
            torch.testing.assert_close(together[row][mask[row].bool()], alone)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}])
def test_generate_puts_landmarks_in_and_never_says_one(model, how):
    ids = drawn(1, 13)
    policy = Landmark(block=BLOCK, blocks=2, chunk=1)
    with tokenry.attach(model, policy) as attachment:
        out = model.generate(ids, max_new_tokens=20, do_sample=False, **how)
        assert out.shape == (1, 33)
        assert not (out == VOCAB).any()
        if not how:
            assert attachment.trace.seen == 32 + 32 // BLOCK
            with torch.no_grad():
                fresh = model(out[:, :-1]).logits[:, 12:].argmax(-1)
            assert torch.equal(out[:, 13:], fresh)
        if "prompt_lookup_num_tokens" in how:
            plain = model.generate(ids, max_new_tokens=20, do_sample=False)
            assert torch.equal(out, plain)


def test_a_padded_batch_generates_what_each_text_does(model):
    texts = [drawn(n, seed=n) for n in (14, 9)]
    ids, mask = torch.zeros(2, 14, dtype=torch.long), torch.zeros(2, 14, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, -len(text) :], mask[row, -len(text) :] = text, 1
    with tokenry.attach(model, Landmark(block=BLOCK, blocks=2, chunk=1)):
        how = {"max_new_tokens": 15, "do_sample": False}
        together = model.generate(ids, attention_mask=mask, **how)[:, 14:]
        for row, text in enumerate(texts):
            assert torch.equal(together[row], model.generate(text[None], **how)[0, len(text) :])


def test_the_loss_is_over_real_tokens_only(model):
    ids = drawn(2, 18)
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK)):
        out = model(ids, labels=ids)
    log = out.logits[:, :-1, :VOCAB].log_softmax(-1)
    expected = -log.gather(-1, ids[:, 1:, None]).mean()
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("checkpoints", [False, True])
def test_gradients_flow(model, checkpoints):
    ids = drawn(2, 18)
    model.train()
    grads = {}
    for name in ("plain", "checkpointed"):
        if name == "checkpointed" and checkpoints:
            model.activation_checkpointing_enable()
        model.zero_grad()
        with tokenry.attach(model, Landmark(block=BLOCK, chunk=7)):
            losses = [model(x, labels=x, use_cache=False).loss for x in (ids, ids[:, :9])]
            sum(losses).backward()
        grads[name] = [weight.grad.clone() for weight in model.parameters()]
    assert model.model.embed_tokens.weight.grad[VOCAB].abs().sum() > 0
    for one, two in zip(*grads.values(), strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two)


def test_the_trainer_trains_it(model, tmp_path):
    data = [{"input_ids": row, "labels": row} for row in drawn(8, 12)]
    before = model.model.embed_tokens.weight[VOCAB].clone()
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, report_to=[], use_cpu=True, disable_tqdm=True, save_steps=2
    )
    with tokenry.attach(model, Landmark(block=BLOCK)):
        Trainer(model, arguments, train_dataset=data).train()
    assert not torch.equal(model.model.embed_tokens.weight[VOCAB], before)
    again = LlamaForCausalLM.from_pretrained(tmp_path / "checkpoint-2")
    with tokenry.attach(again, Landmark(block=BLOCK)):
        again(data[0]["input_ids"][None])


def test_the_new_embedding_is_the_mean_of_the_others(model):
    for weight in (model.model.embed_tokens.weight, model.lm_head.weight):
        assert len(weight) == VOCAB + 1
        torch.testing.assert_close(weight[VOCAB], weight[:VOCAB].mean(0), atol=1e-6, rtol=0)
    assert model.config.landmark_token_id == VOCAB
    with pytest.raises(UsageError, match="has a landmark after every 4 tokens already"):
        add_landmark(model, 5)
    with pytest.raises(UsageError, match="block=0"):
        add_landmark(LlamaForCausalLM(LlamaConfig(**SHAPE)), 0)


def test_the_model_is_as_before_afterwards(model):
    ids = drawn(1, 18)
    with torch.no_grad():
        before = model(ids).logits
        with pytest.raises(UsageError), tokenry.attach(model, Landmark(block=BLOCK)):
            model(inputs_embeds=model.get_input_embeddings()(ids))
        assert torch.equal(model(ids).logits, before)


def test_models_without_landmarks_are_refused():
    bare = LlamaForCausalLM(LlamaConfig(**SHAPE))
    with pytest.raises(UnsupportedModelError, match=r"no landmark.*add_landmark"):
        tokenry.attach(bare, Landmark(block=BLOCK))
    add_landmark(bare, 7)
    with pytest.raises(UnsupportedModelError, match="set block=7"):
        tokenry.attach(bare, Landmark(block=BLOCK))
    window = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8, pad_token_id=None))
    window.config.layer_types = ["sliding_attention", "full_attention"]
    learned = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    for model, reason in ((window, "window"), (learned, "does not rotate")):
        add_landmark(model, BLOCK)
        with pytest.raises(UnsupportedModelError, match=reason):
            tokenry.attach(model, Landmark(block=BLOCK))
        assert not hasattr(model.base_model, "_tokenry")


def test_inputs_that_cannot_be_right_are_refused(model):
    ids = drawn(1, 12)
    full = DynamicCache(config=model.config)
    model(ids, past_key_values=full)
    packed = torch.tensor([[*range(6), *range(6)]])
    with tokenry.attach(model, Landmark(block=BLOCK)):
        for wrong, reason in (
            ({"input_ids": torch.tensor([[1, VOCAB]])}, "ids with landmarks"),
            ({"inputs_embeds": torch.zeros(1, 3, 32).double()}, "embeddings"),
            ({"input_ids": ids, "past_key_values": full}, "filled without landmarks"),
            ({"input_ids": ids, "position_ids": packed}, "packed"),
            ({"input_ids": ids, "attention_mask": torch.ones(1, 3)}, "12 tokens together"),
        ):
            with pytest.raises(UsageError, match=reason):
                model(**wrong)
        with pytest.raises(UsageError, match="static"):
            model(ids, past_key_values=StaticCache(config=model.config, max_cache_len=20))
        held = model(ids).past_key_values
        with pytest.raises(UsageError, match="another batch"):
            model(drawn(2, 1), past_key_values=held)
        with pytest.raises(UsageError, match="minus the number"):
            held.layers[0].crop(3)
    model.config.attention_dropout = 0.1
    with (
        tokenry.attach(model.train(), Landmark(block=BLOCK)),
        pytest.raises(UsageError, match="dropout"),
    ):
        model(ids)


def test_a_cropped_cache_goes_on_as_if_never_longer(model):
    ids = drawn(1, 20)
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK)):
        for cut in range(1, 7):
            cache = model(ids[:, :14]).past_key_values
            cache.crop(-cut)
            rest = model(ids[:, 14 - cut :], past_key_values=cache).logits
            torch.testing.assert_close(rest, model(ids).logits[:, 14 - cut :])


@pytest.fixture(scope="module")
def recipe():
    path = Path(__file__).parents[2] / "recipes" / "landmark_toy.py"
    spec = util.spec_from_file_location("landmark_toy", path)
    module = util.module_from_spec(spec)
    sys.modules["landmark_toy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_two_blocks_find_a_pass_key_at_four_times_the_length(recipe):
    marked, plain = (recipe.train(landmarks, steps=800) for landmarks in (True, False))
    policy = Landmark(block=recipe.BLOCK, blocks=2, chunk=64)
    long = 4 * recipe.LENGTH
    assert recipe.found(plain, recipe.LENGTH) > 0.9
    assert recipe.found(marked, long, policy) > 0.9
    assert recipe.found(plain, long) < 0.5
    assert max(max(heads) for heads in recipe.first_block(marked, long)) > 0.9
