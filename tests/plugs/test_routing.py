"""Routing by functional tokens: rows, training, the first step, the graph, the folder."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from tokenry.decoding import Octopus
from tokenry.errors import DataError, UnknownNameError, UnsupportedModelError, UsageError
from tokenry.plugs.experts import expert_graph
from tokenry.plugs.functional import HeadStates, fit_rows
from tokenry.plugs.routing import END, TokenRouter

NAMES = ("birds", "maths", "tools")
EXAMPLES = [
    ("a heron and a stork", "birds"),
    ("the wings of a gull", "birds"),
    ("owls at night", "birds"),
    ("seven times eight", "maths"),
    ("a proof by induction", "maths"),
    ("the sum of 3 and 4", "maths"),
    ("hammer and nails", "tools"),
    ("a saw cuts wood", "tools"),
    ("bolts need a wrench", "tools"),
]


@pytest.fixture
def router(language):
    """Build a router over a tiny model: `router(edges=..., tie_word_embeddings=True)`."""

    def build(names=NAMES, edges=(), general=None, settings=None, **changes):
        loaded = language(**changes)
        tokenizer = copy.deepcopy(loaded.processor)
        graph = expert_graph(names, edges, general)
        return TokenRouter(loaded.model, tokenizer, graph, **(settings or {}))

    return build


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("padded", [0, 20])
def test_new_rows_are_the_mean_in_both_matrices(language, tied, padded):
    loaded = language(tie_word_embeddings=tied, vocab_size=257 + padded)
    model, tokenizer = loaded.model, copy.deepcopy(loaded.processor)
    before = model.get_input_embeddings().weight[:257].clone(), model.lm_head.weight[:257].clone()
    TokenRouter(model, tokenizer, expert_graph(NAMES))
    tables = model.get_input_embeddings().weight, model.lm_head.weight
    assert (tables[0] is tables[1]) == tied
    assert len(tokenizer) == 261
    for old, new in zip(before, tables, strict=True):
        assert torch.equal(new[:257], old)
        torch.testing.assert_close(new[257:261], old.mean(0).expand(4, -1))
    assert len(tables[0]) == max(261, 257 + padded)
    ids = tokenizer("a<nexa_0>b<nexa_end>")["input_ids"]
    assert ids[1] in range(257, 261)
    assert len(ids) == 4


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_probabilities_equal_one_text_after_the_other(language, causal, family):
    tokenizer = copy.deepcopy(language().processor)
    changes = {"vocab_size": 257, "pad_token_id": None, "bos_token_id": None}
    if family == "GPT2":
        from tokenry.checks.models import tiny_decoder

        model = tiny_decoder("gpt2", vocab_size=257)
    else:
        model = causal(family, **changes)
    found = TokenRouter(model, tokenizer, expert_graph(NAMES))
    with torch.no_grad():
        model.lm_head.weight[list(found.token_ids)] = torch.randn(
            3, model.lm_head.weight.shape[1], generator=torch.Generator().manual_seed(1)
        )
    queries = [query for query, _ in EXAMPLES]
    got = found.probabilities(queries)
    for query, row in zip(queries, got, strict=True):
        ids = torch.tensor([tokenizer(found.method.prompt(query))["input_ids"]])
        with torch.no_grad():
            scores = model(ids).logits[0, -1]
        torch.testing.assert_close(row, scores[list(found.token_ids)].softmax(-1))
    torch.testing.assert_close(got.sum(-1), torch.ones(9))


def test_the_first_token_is_the_one_that_generate_writes(router):
    found = router()
    found.train(EXAMPLES, decay=1e-4)
    allowed = list(found.token_ids)
    for query, _ in EXAMPLES:
        inputs = found.tokenizer(found.method.prompt(query), return_tensors="pt")
        written = found.model.generate(
            **inputs, max_new_tokens=1, do_sample=False, pad_token_id=0,
            prefix_allowed_tokens_fn=lambda *_: allowed,
        )[0, -1]  # fmt: skip
        route = found.route(query)
        assert found.experts[allowed.index(int(written))] == route.expert
        assert sum(route.probabilities.values()) == pytest.approx(1)
        assert route.confidence == max(route.probabilities.values())


@pytest.mark.parametrize("tied", [False, True])
def test_only_the_functional_rows_change(router, tied):
    found = router(tie_word_embeddings=tied)
    before = {name: value.clone() for name, value in found.model.state_dict().items()}
    found.train(EXAMPLES, decay=1e-4)
    for name, value in found.model.state_dict().items():
        changed = (value != before[name]).nonzero()[:, 0].unique().tolist()
        heads = ("lm_head.weight", "model.embed_tokens.weight") if tied else ("lm_head.weight",)
        assert changed == (list(found.token_ids) if name in heads else [])
    routed = [found.experts[i] for i in found.probabilities([q for q, _ in EXAMPLES]).argmax(-1)]
    assert routed == [name for _, name in EXAMPLES]


def test_training_on_states_equals_training_the_model(router):
    """One step of plain gradient descent through the whole model gives the same gradient."""
    found = router()
    model, ids = found.model.double(), [*found.token_ids, found.token_ids[-1] + 1]
    states, logits, total = [], [], 0.0
    for query, name in EXAMPLES:
        inputs = torch.tensor([found.tokenizer(found.method.prompt(query))["input_ids"]])
        output = model(inputs, output_hidden_states=True)
        states.append(output.hidden_states[-1][0, -1].detach())
        logits.append(output.logits[0, -1].detach())
        target = torch.tensor([found.token_ids[NAMES.index(name)]])
        total = total + cross_entropy(output.logits[:, -1], target) / len(EXAMPLES)
    total.backward()
    expected = model.lm_head.weight.grad[list(found.token_ids)]
    rows = model.lm_head.weight.detach()[ids].requires_grad_()
    others = torch.stack(logits)
    others[:, ids] = float("-inf")
    scores = torch.cat([torch.stack(states) @ rows.T, others.logsumexp(-1, keepdim=True)], 1)
    cross_entropy(scores, torch.tensor([NAMES.index(n) for _, n in EXAMPLES])).backward()
    torch.testing.assert_close(rows.grad[:3], expected)


def test_the_rows_found_are_the_minimum():
    """The gradient of the loss, written by hand, vanishes."""
    source = torch.Generator().manual_seed(0)
    states, rows, others = (
        torch.randn(*shape, generator=source).double() for shape in ((40, 5), (3, 5), (40, 9))
    )
    target = torch.randint(0, 3, (40,), generator=source)
    logits = torch.cat([others, states @ rows.T], 1)
    ids, decay = [9, 10, 11], 0.01
    found = fit_rows(
        rows, torch.zeros(3), HeadStates(states.float(), logits.float()), ids, target,
        free=[0, 2], decay=decay, steps=500,
    )  # fmt: skip
    assert torch.equal(found[1], rows[1])
    scale = float(states.square().sum(-1).mean())
    chances = torch.cat([others, states @ found.T], 1).softmax(-1)[:, 9:]
    for i in (0, 2):
        wrong = chances[:, i] - (target == i).double()
        gradient = (wrong[:, None] * states).mean(0) + 2 * decay * scale * (found[i] - rows[i])
        assert gradient.abs().max() < 1e-4


def test_an_expert_added_later_leaves_the_others_alone(router):
    found = router()
    found.train(EXAMPLES, decay=1e-4)
    before = {name: value.clone() for name, value in found.model.state_dict().items()}
    old = found.probabilities([query for query, _ in EXAMPLES])
    found.add("law", "contracts", hands_over=["birds"])
    new = [("a contract of sale", "law"), ("the court and its judge", "law")]
    found.train([*EXAMPLES, *new], only=["law"], decay=1e-4)
    assert found.experts == (*NAMES, "law")
    for name, value in found.model.state_dict().items():
        assert torch.equal(value[: len(before[name])], before[name])
    after = found.probabilities([query for query, _ in EXAMPLES])
    torch.testing.assert_close(after[:, :3] / after[:, :3].sum(-1, keepdim=True), old)
    assert found.route("a contract of sale").expert == "law"


def test_a_new_expert_can_be_made_to_lead(router):
    """Its scores are lower by the lead on the average query; all other rows stay."""
    new = [("a contract of sale", "law"), ("the court and its judge", "law")]
    queries = [query for query, _ in [*EXAMPLES, *new]]
    scores = []
    for lead in (0.0, 1.0):
        found = router()
        found.train(EXAMPLES, decay=1e-4)
        found.add("law")
        found.train([*EXAMPLES, *new], only=["law"], decay=1e-4, lead=lead)
        scores.append(found._scores(queries))
    change = scores[1] - scores[0]
    assert float(change[:, 3].mean()) == pytest.approx(-1.0, abs=1e-3)
    assert torch.equal(scores[1][:, :3], scores[0][:, :3])
    with pytest.raises(UsageError, match=r"lead=-1\.0 is negative"):
        found.train(EXAMPLES, lead=-1.0)


def test_a_folder_holds_everything(router, tmp_path):
    found = router(edges=[("birds", "maths")], general="tools", tie_word_embeddings=True)
    found.train(EXAMPLES, decay=1e-4)
    found.add("law")
    found.save(tmp_path)
    assert {"model.safetensors", "tokenizer.json", "graph.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    again = TokenRouter.load(tmp_path, threshold=0.1)
    queries = [query for query, _ in EXAMPLES]
    assert torch.equal(again.probabilities(queries), found.probabilities(queries))
    assert (again.experts, again.token_ids) == (found.experts, found.token_ids)
    assert again.method == Octopus(threshold=0.1)
    assert list(again.graph.edges) == [("birds", "maths")]
    assert again.graph.graph["general"] == "tools"


def test_the_general_expert_answers_what_none_is_sure_of(router):
    queries = [query for query, _ in EXAMPLES]
    found = router(general="tools", settings={"threshold": 1.0})
    assert {found.route(query).expert for query in queries} == {"tools"}
    sure = router(general="tools", settings={"threshold": 0.0})
    sure.train(EXAMPLES, decay=1e-4)
    assert [sure.route(query).expert for query in queries] == [name for _, name in EXAMPLES]


# --- the way through a graph --------------------------------------------------------------------


def shouting(asked):
    """A worker per expert that notes what it is asked."""
    return {
        name: lambda query, name=name: asked.append((name, query)) or f"{name}!" for name in NAMES
    }


RING = [("birds", "maths"), ("maths", "tools"), ("tools", "birds"), ("birds", "birds")]


@pytest.mark.parametrize(
    ("edges", "settings", "count", "ended"),
    [
        ([], {}, 1, "no hand-over"),
        (RING, {}, 3, "visits"),
        (RING, {"visits": 1000, "steps": 7}, 7, "steps"),
        (RING, {"visits": 1000, "steps": 1}, 1, "steps"),
        ([("birds", "maths"), ("maths", "tools")], {"visits": 5}, 3, "no hand-over"),
    ],
)
def test_every_way_ends_and_is_logged(router, edges, settings, count, ended):
    found = router(edges=edges, settings=settings)
    found.train(EXAMPLES, decay=1e-4)
    with torch.no_grad():  # the end token never wins: no state is near this row
        found.model.lm_head.weight[found.token_ids[-1] + 1] = -found.model.lm_head.weight[
            list(found.token_ids)
        ].sum(0)
    asked = []
    execution = found.run("a heron and a stork", shouting(asked))
    assert (len(execution.steps), execution.ended) == (count, ended)
    assert asked[0] == ("birds", "a heron and a stork")
    assert [(s.route.expert, s.route.query) for s in execution.steps] == asked
    for before, after in zip(execution.steps, execution.steps[1:], strict=False):
        assert (before.route.expert, after.route.expert) in edges
        assert after.route.query == f"a heron and a stork\n\n{before.answer}"
        assert sum(after.route.probabilities.values()) == pytest.approx(1)
    assert execution.answer == f"{asked[-1][0]}!"


def test_the_end_token_ends_the_way(router):
    found = router(edges=RING)
    done = [(f"{query}\n\nbirds!", END) for query, name in EXAMPLES if name == "birds"]
    found.train([*EXAMPLES, *done], decay=1e-5)
    execution = found.run("owls at night", shouting([]))
    assert (execution.answer, execution.ended) == ("birds!", "end token")


# --- queries in the model's own words -----------------------------------------------------------


def test_a_trained_model_words_the_query_anew(router):
    found = router(settings={"rewrite": True}, num_hidden_layers=2, hidden_size=64)
    examples = [
        ("a heron, please", "birds", "what's a heron?"),
        ("tell me 7 * 8", "maths", "7 * 8 = ?"),
    ]
    for prompt, call in found.texts(examples):
        assert prompt.endswith("Expert:")
        assert call.startswith("<nexa_")
        assert call.endswith("')<nexa_end>")
    learn(found.model, found.tokenizer, found.texts(examples))
    for query, name, asked in examples:
        route = found.route(query)
        assert (route.expert, route.query) == (name, asked)


def learn(model, tokenizer, texts):
    """Train the whole model until it knows the texts by heart."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    rows = [[tokenizer(part)["input_ids"] for part in text] for text in texts]
    for _ in range(150):
        optimizer.zero_grad()
        for prompt, call in rows:
            ids = torch.tensor([prompt + call])
            labels = torch.tensor([[-100] * len(prompt) + call])
            model(ids, labels=labels).loss.backward()
        optimizer.step()


# --- what is refused ----------------------------------------------------------------------------


def test_what_cannot_be_trained_is_refused(router):
    found = router()
    with pytest.raises(UsageError, match="there is no example"):
        found.train([])
    with pytest.raises(UnknownNameError, match="expert 'bird' is unknown; nearest: birds"):
        found.train([("a heron", "bird")])
    with pytest.raises(UsageError, match="all examples belong to maths"):
        found.train([("1 + 1", "maths")], only=["maths"])
    with pytest.raises(UsageError, match="an empty query"):
        found.route(" ")


def test_what_cannot_be_added_is_refused(router):
    found = router()
    with pytest.raises(UsageError, match="there is an expert 'maths' already"):
        found.add("maths")
    with pytest.raises(UnknownNameError, match="expert 'lawyer' is unknown"):
        found.add("law", hands_over=["lawyer"])
    with pytest.raises(UsageError, match="' ' is no name"):
        found.add(" ")
    assert found.experts == NAMES
    assert len(found.tokenizer) == 261


def test_workers_must_be_there_and_answer(router):
    found = router()
    workers = shouting([])
    with pytest.raises(UsageError, match="there is no worker for 'tools'"):
        found.run("x", {name: workers[name] for name in NAMES[:2]})
    with pytest.raises(UnknownNameError, match="expert 'law' is unknown"):
        found.run("x", workers | {"law": str})
    with pytest.raises(UsageError, match="returned NoneType; a worker returns a text"):
        found.run("x", dict.fromkeys(NAMES, lambda query: None))


def test_routers_that_cannot_be_are_refused(language, router, tmp_path):
    loaded = language()
    graph = expert_graph(NAMES)
    with pytest.raises(UsageError, match="the tokenizer knows 257 tokens"):
        TokenRouter(language(vocab_size=100).model, loaded.processor, graph)
    with pytest.raises(UsageError, match="TokenRouter: 'pie' is no router; give octopus"):
        TokenRouter(loaded.model, loaded.processor, graph, "pie")
    with pytest.raises(UsageError, match="is configured already"):
        TokenRouter(loaded.model, loaded.processor, graph, Octopus(), threshold=0.5)
    with pytest.raises(UsageError, match="there is no expert in it"):
        TokenRouter(loaded.model, loaded.processor, type(graph)())
    found = router()
    with pytest.raises(UsageError, match="knows <nexa_0> already"):
        TokenRouter(found.model, found.tokenizer, graph)
    with pytest.raises(DataError, match="is no graph of experts"):
        TokenRouter.load(tmp_path)
    found.graph.add_node("one more")
    found.save(tmp_path)
    with pytest.raises(UsageError, match="does not know <nexa_3>"):
        TokenRouter.load(tmp_path)


def test_a_head_whose_scores_are_changed_is_refused(language, causal):
    model = causal("Cohere", vocab_size=257, logit_scale=0.1)
    found = TokenRouter(model, copy.deepcopy(language().processor), expert_graph(NAMES))
    with pytest.raises(UnsupportedModelError, match="changes the scores behind its head"):
        found.train(EXAMPLES)
