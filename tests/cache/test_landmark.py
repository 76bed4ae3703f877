"""Landmark attention against loops over tokens, and what it finds."""

import math
from contextlib import nullcontext

import pytest
import torch

import tokenry
from tokenry.cache import Landmark
from tokenry.method import MarkedView
from tokenry.ops.landmark import grouped_softmax
from tokenry.ops.rope import rotate

BLOCK, VOCAB = 4, 31


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


def test_a_query_reads_its_blocks_and_the_local_rest(marked):
    with tokenry.attach(marked, Landmark(block=BLOCK, blocks=2)) as attachment, torch.no_grad():
        cache = None
        for i in range(40):
            cache = marked(drawn(1, 1, seed=i), past_key_values=cache).past_key_values
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


def test_a_pass_equals_the_text_with_landmarks(marked):
    """The outputs are those of a decoder written out, with attention by loops."""
    ids = drawn(1, 10)
    with torch.no_grad(), tokenry.attach(marked, Landmark(block=BLOCK)):
        hidden = marked.model(ids).last_hidden_state
    expected = by_layers(marked.model, ids[0])
    torch.testing.assert_close(hidden[0], expected, atol=1e-6, rtol=0)


def by_layers(decoder, ids):
    """The decoder's output for each token, with landmarks in between and attention by loops."""
    marked, answers = [], []
    for i, token in enumerate(ids.tolist()):
        marked += [token, VOCAB] if i % BLOCK == BLOCK - 1 else [token]
        answers.append(len(marked) - 1)
    n = len(marked)
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


def test_all_blocks_retrieved_equals_the_training_pass(marked):
    ids = drawn(2, 23)
    with torch.no_grad(), tokenry.attach(marked, Landmark(block=BLOCK, chunk=5)) as attachment:
        whole = marked(ids, use_cache=False).logits
        assert attachment.trace is None
        cache, out = None, []
        for step in (7, 1, 1, 1, 6, 4, 3):
            done = sum(x.shape[1] for x in out)
            given = ids[:, done : done + step]
            answer = marked(given, past_key_values=cache)
            cache, out = answer.past_key_values, [*out, answer.logits]
        assert attachment.trace.share == 1
    torch.testing.assert_close(torch.cat(out, 1), whole)


def test_more_blocks_than_there_are_change_nothing(marked):
    ids = drawn(1, 23)
    with torch.no_grad():
        with tokenry.attach(marked, Landmark(block=BLOCK)):
            every = marked(ids).logits
        with tokenry.attach(marked, Landmark(block=BLOCK, blocks=5, chunk=1)):
            torch.testing.assert_close(marked(ids).logits, every)
        with tokenry.attach(marked, Landmark(block=BLOCK, blocks=2, chunk=1)):
            some = marked(ids).logits
    assert torch.equal(some[:, :11].argmax(-1), every[:, :11].argmax(-1))
    assert not torch.allclose(some[:, -1], every[:, -1])


def test_keep_sets_the_share_that_is_read(marked):
    with torch.no_grad(), tokenry.attach(marked, Landmark(block=BLOCK, keep=0.3)) as attachment:
        cache = marked(drawn(1, 400)).past_key_values
        for i in range(8):
            cache = marked(drawn(1, 1, seed=i), past_key_values=cache).past_key_values
            assert attachment.trace.share == pytest.approx(0.3, abs=0.01)
        assert attachment.trace.bytes_resident == attachment.trace.bytes_full


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("landmark_toy")


@pytest.mark.slow
def test_two_blocks_find_a_pass_key_at_four_times_the_length(recipe):
    taught, plain = recipe.shipped("marked"), recipe.shipped("plain")
    policy = Landmark(block=recipe.BLOCK, blocks=2, chunk=64)
    long = 4 * recipe.LENGTH
    assert recipe.found(taught, long, policy) > 0.9
    assert recipe.found(plain, recipe.LENGTH) - recipe.found(plain, long) > 0.2
    assert max(max(heads) for heads in recipe.first_block(taught, long)) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("landmarks", [True, False])
def test_training_teaches_what_letters_may_follow(recipe, landmarks):
    """The first steps of the recipe, on texts that it has not seen.

    Only some tokens are letters: better than before, and than to guess among all tokens.
    """
    model = recipe.made(landmarks)
    ids, _ = recipe.texts(64, 24, torch.Generator().manual_seed(1))

    @torch.no_grad()
    def loss():
        with tokenry.attach(model, Landmark(block=recipe.BLOCK)) if landmarks else nullcontext():
            return recipe.loss_of(model, ids).item()

    before, guessed = loss(), math.log(recipe.KEY + 1)
    recipe.train(model, landmarks, steps=30)
    assert loss() < min(before, guessed)
