"""Each task on outputs whose scores are known, and on a tiny model."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from PIL import Image

from tokenry.compare import tasks
from tokenry.compare.tasks import (
    Agreement,
    Classification,
    Dense,
    Pass,
    Probe,
    Retrieval,
    Subject,
    Task,
    VisionTask,
)
from tokenry.compare.tasks.probe import Ridge, leave_one_out
from tokenry.errors import UnknownNameError, UsageError
from tokenry.plugs.encoder import Encoded
from tokenry.plugs.trace import Trace
from tokenry.zoo import Loaded


def seen(pooled, logits=None, trace=None, rows=None):
    pooled = torch.tensor(pooled, dtype=torch.float32)
    logits = None if logits is None else torch.tensor(logits, dtype=torch.float32)
    rows = pooled[:, None] if rows is None else rows
    return Pass(Encoded(pooled, logits, rows), trace)


def subject(model, processor=None, **settings):
    return Subject(model, processor, "tiny", torch.device("cpu"), **settings)


@pytest.fixture(scope="session")
def drawings(dataset, example):
    """Two artists' drawings of six things: nearly the same pixels."""
    shades = [(20, 20, 200), (200, 20, 20), (20, 200, 20), (9, 9, 9), (240, 240, 9), (200, 9, 200)]

    def draw(thing, artist):
        shade = tuple(min(255, c + 8 * artist) for c in shades[thing])
        return Image.new("RGB", (32, 32), shade)

    return dataset(
        example(i, f"thing {i}", domain=f"artist {a}", make=partial(draw, i, a), group=str(i % 2))
        for i in range(6)
        for a in range(2)
    )


def test_every_task_says_what_it_measures():
    vision = {"agreement", "classification", "probe", "retrieval", "dense"}
    texts = {"lm-agreement", "perplexity", "answers", "needles"}
    assert set(tasks.names()) == vision | texts | {"writing", "search", "linking"}
    assert {name for name in tasks.names() if tasks.find(name).kind == "causal-lm"} == texts
    for name in tasks.names():
        info = tasks.find(name)().info
        assert info.slug == name
        assert all((info.title, info.metric, info.explanation))
        assert info.higher_is_better is (name != "perplexity")
    binary = {name for name in tasks.names() if tasks.find(name).binary}
    assert binary == {"classification", "probe", "retrieval", "answers", "writing"}
    with pytest.raises(UnknownNameError, match="task 'prob' is unknown; nearest: probe"):
        tasks.find("prob")


def test_agreement_is_the_cosine():
    ours = seen([[1, 0], [1, 1], [0, -2]], logits=[[1, 0], [1, 0], [0, 1]])
    theirs = seen([[2, 0], [1, 0], [0, 1]], logits=[[5, 0], [0, 1], [0, 1]])
    found = Agreement().score(ours, theirs, [1, 2, 3])
    assert found.values == pytest.approx([1, 0.5**0.5, -1])
    assert found.secondary == {"top1": [1.0, 0.0, 1.0]}
    assert Agreement().score(seen([[1, 2]]), seen([[1, 2]]), [1]).secondary == {}


def test_agreement_of_a_zero_embedding_is_a_number():
    assert Agreement().score(seen([[0, 0]]), seen([[1, 0]]), [1]).values == [0]


def test_finite_names_the_images():
    outputs = seen([[1, 2], [float("nan"), 0], [3, float("inf")]]).outputs
    assert Agreement().finite(outputs) == [True, False, False]


@pytest.fixture(scope="session")
def headed(tiny):
    """Build a tiny classifier: `headed(["cat", "dog"])`."""
    import transformers

    def headed(names):
        encoder = tiny("dinov2", num_hidden_layers=2)
        encoder.config.id2label = dict(enumerate(names))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = transformers.Dinov2ForImageClassification(encoder.config)
        model.dinov2.load_state_dict(encoder.state_dict())
        return model.eval()

    return headed


def test_labels_are_matched_to_the_names_of_the_head(headed, example):
    task = Classification()
    model = headed(["tabby, tabby cat", "Golden_Retriever", "tea-pot"])
    labels = ["Tabby Cat", "tabby", "golden retriever", "tea pot"]
    examples = [example(i, label) for i, label in enumerate(labels)]
    task.prepare(subject(model), examples)
    assert task.split(examples) == ([], examples)
    right = seen([[0.0]] * 4, logits=[[9, 0, 0], [0, 9, 0], [0, 9, 0], [0, 0, 9]])
    assert task.score(right, right, examples).values == [1, 0, 1, 1]


def test_labels_that_the_head_does_not_know(headed, example):
    task, model = Classification(), headed(["cat", "dog"])
    some = [example(0, "cat"), example(1, "boat"), example(2, None)]
    with pytest.warns(UserWarning, match=r"1 of 2 labels .* not scored: 'boat'"):
        task.prepare(subject(model), some)
    assert task.split(some) == ([], [some[0]])
    with pytest.raises(UsageError, match=r"none of the 1 labels .*'boat'.* 'cat', 'dog', .*probe"):
        task.prepare(subject(model), some[1:])


def test_classification_without_a_head(example):
    with pytest.raises(UsageError, match="no classification head"):
        Classification().score(seen([[1.0]]), seen([[1.0]]), [example(0, "cat")])


def test_classification_by_a_tiny_head(run, headed, processor, data):
    model = Loaded(headed(["kind 0", "kind 1", "kind 2"]), processor)
    results = run(model, task=["classification", "agreement"], keep=(1, 0.5))
    rows = results.rows()
    assert {r.score for r in rows if r.task == "classification"} <= {0.0, 1.0}
    assert {tuple(r.scores) for r in rows if r.task == "agreement"} == {("top1",)}
    assert {s.p_value for s in results.summary("agreement")} == {None}
    assert all(s.p_value is not None for s in results.summary("classification"))


def regression(n, d, classes, seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=source, dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.arange(n) % classes).double()
    return x - x.mean(0), y - y.mean(0)


@pytest.mark.parametrize(("n", "d"), [(20, 5), (8, 30)])
@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_leave_one_out_is_leaving_out_one(n, d, penalty):
    x, y = regression(n, d, 3)
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    expected = 0.0
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        a = torch.cat([x[rest], torch.ones(n - 1, 1)], 1)
        ridge = penalty * torch.eye(d + 1, dtype=torch.float64)
        ridge[-1, -1] = 0  # the intercept is not shrunk
        w = torch.linalg.solve(a.T @ a + ridge, a.T @ y[rest])
        expected += float((y[i] - torch.cat([x[i], torch.ones(1)]) @ w).square().sum())
    assert leave_one_out(u, s, y, penalty) == pytest.approx(expected)


def test_ridge_finds_classes_that_are_apart_in_many_dimensions():
    source = torch.Generator().manual_seed(0)
    centers = torch.randn(5, 200, generator=source, dtype=torch.float64)
    classes = torch.arange(60) % 5
    noise = torch.randn(60, 200, generator=source, dtype=torch.float64)
    ridge = Ridge(centers[classes] * 0.7 + noise, classes, list("abcde"))
    fresh = centers * 0.7 + torch.randn(5, 200, generator=source, dtype=torch.float64) * 0.5
    assert ridge.predict(fresh) == list("abcde")


def test_ridge_survives_a_constant_feature():
    x = torch.tensor([[0.0, 1.0], [0.1, 1.0], [1.0, 1.0], [1.1, 1.0]], dtype=torch.float64)
    ridge = Ridge(x, torch.tensor([0, 0, 1, 1]), ["low", "high"])
    assert ridge.predict(x) == ["low", "low", "high", "high"]


def test_where_a_probe_is_fitted_and_tested(example):
    task = Probe()
    split = [example(i, str(i % 2), split="train" if i < 4 else "test") for i in range(6)]
    assert task.split(split) == (split[:4], split[4:])
    vendors = [example(i, str(i % 2), domain="ab"[i // 4]) for i in range(8)]
    assert task.split(vendors) == (vendors[:4], vendors[4:])
    plain = [example(i, str(i % 2)) for i in range(8)] + [example(9, None)]
    fitted, tested = task.split(plain)
    assert [e.id for e in fitted] == ["0", "4", "1", "5"]
    assert [e.id for e in tested] == ["2", "6", "3", "7"]


@pytest.mark.parametrize("labels", [["a", "a", "a"], ["a", "b"]])
def test_too_little_to_probe(example, labels):
    with pytest.raises(UsageError, match="too few; it takes two classes"):
        Probe().split([example(i, label) for i, label in enumerate(labels)])


def test_a_probe_scores_right_and_wrong(example):
    task = Probe()
    fitted = [example(i, "ab"[i % 2]) for i in range(8)]
    for part in (fitted[:4], fitted[4:]):
        task.observe(seen([[float(int(e.id) % 2), 0.1 * int(e.id)] for e in part]), part)
    task.fit()
    found = task.score(seen([[0, 0.3], [1, 0.3]]), seen([[0, 0.0]]), [example(8, "a")] * 2)
    assert found.values == [1.0, 0.0]


def test_a_probe_of_another_field(run, drawings, loaded):
    with pytest.raises(UsageError, match=r"target='size' is in no example's meta; .* label, group"):
        run(pictures=drawings, task=Probe("size"))
    results = run(pictures=drawings, task=Probe("group"), keep=1)
    assert results.summary()[0].n == 6
    assert Probe("group").describe() != Probe().describe()


@pytest.mark.parametrize("name", ["probe", "retrieval"])
def test_tasks_that_need_labels(run, dataset, example, name):
    with pytest.raises(UsageError, match=f"{name}: the data has no labels"):
        run(pictures=dataset(example(i) for i in range(4)), task=name)


def test_retrieval_ranks_the_gallery(example):
    task = Retrieval()
    gallery = [example(i, label, domain="a") for i, label in enumerate("xyz")]
    task.observe(seen([[1, 0], [0, 2]]), gallery[:2])
    task.observe(seen([[1, 1]]), gallery[2:])
    queries = [example(i, label, domain="b") for i, label in enumerate(["x", "x", "z"])]
    found = task.score(seen([[3, 0.1], [0.1, 1], [1, 0]]), seen([[1, 0]]), queries)
    assert found.values == [1, 0, 0]
    assert found.secondary["reciprocal_rank"] == pytest.approx([1, 1 / 3, 1 / 2])


def test_a_tie_is_no_success(example):
    task = Retrieval()
    task.observe(seen([[1, 0], [1, 0]]), [example(i, label) for i, label in enumerate("xy")])
    assert task.score(seen([[1, 0]]), seen([[1, 0]]), [example(5, "x")]).values == [0]


def test_which_domain_asks_which(example):
    examples = [example(i, "xyz"[i % 3], domain="abc"[i // 3]) for i in range(9)]
    lonely = example(20, "only here", domain="b")
    names = lambda pair: [{e.domain for e in part} for part in pair]  # noqa: E731
    assert names(Retrieval().split([*examples, lonely])) == [{"a"}, {"b"}]
    assert lonely not in Retrieval().split([*examples, lonely])[1]
    assert names(Retrieval(query="a").split(examples)) == [{"b"}, {"a"}]
    assert names(Retrieval(gallery="b").split(examples)) == [{"b"}, {"c"}]
    with pytest.raises(UnknownNameError, match="domain 'd' is unknown"):
        Retrieval(query="d").split(examples)
    with pytest.raises(UsageError, match="are both 'a'"):
        Retrieval(query="a", gallery="a").split(examples)
    with pytest.raises(UsageError, match="two domains, got 1"):
        Retrieval().split(examples[:3])
    with pytest.raises(UsageError, match="no image of domain 'b' has a label"):
        Retrieval().split([*examples[:3], lonely])


def test_retrieval_and_probe_on_a_tiny_model(run, drawings, scores):
    both = run(pictures=drawings, task=["retrieval", "probe", "agreement"], keep=(1, 0.5))
    none = {s.task: s for s in both.summary() if s.method == "none"}
    assert (none["retrieval"].n, none["probe"].n, none["agreement"].n) == (6, 6, 12)
    assert none["retrieval"].score.value == 1  # nearly the same pixels
    # Those scored from one shared pass are those scored alone.
    alone = run(pictures=drawings, task="retrieval", keep=(1, 0.5))
    shared = [row for row in scores(both) if row[0] == "retrieval"]
    assert [row[3:5] for row in scores(alone)] == [row[3:5] for row in shared]


def trace(origin, grid, protected=1):
    origin = torch.tensor([origin])
    rows = int(origin.max()) + 1
    return Trace(
        tokens=((5, rows),),
        full=origin.shape[1],
        grid=grid,
        protected=protected,
        origin=origin,
        size=torch.ones(1, rows, 1),
        valid=None,
        scored=False,
    )


def brightness(rows, grid):
    return rows.sum(-1).view(-1, *grid)


def test_dense_unmerges_before_it_draws(tiny):
    task = Dense(brightness)
    task.prepare(subject(tiny("vit")), [])
    full = torch.tensor([[[0.0], [1.0], [1.0], [3.0], [4.0]]])
    untouched = seen([[0.0]], rows=full)
    merged = seen([[0.0]], trace=trace([0, 1, 1, 2, 3], (2, 2)), rows=full[:, [0, 1, 3, 4]])
    assert task.score(merged, untouched, [1]).values == pytest.approx([1])
    dropped = seen([[0.0]], trace=trace([0, 1, -1, 2, -1], (2, 2)), rows=full[:, [0, 1, 3]])
    maps = torch.tensor([[1.0, 0, 3, 0], [1.0, 1, 3, 4]])
    expected = float(torch.corrcoef(maps)[0, 1])
    assert task.score(dropped, untouched, [1]).values == pytest.approx([expected])
    assert task.score(untouched, untouched, [1]).values == [1]


def test_dense_with_a_flat_map_scores_zero(tiny):
    task = Dense(brightness)
    task.prepare(subject(tiny("vit")), [])
    flat = seen([[0.0]], trace=trace([0, -1, -1, -1, -1], (2, 2)), rows=torch.ones(1, 1, 1))
    full = seen([[0.0]], rows=torch.arange(5.0).view(1, 5, 1))
    assert task.score(flat, full, [1]).values == [0]


def test_dense_on_a_tiny_model(run):
    results = run(task=Dense(brightness), methods=["tome", "random"], keep=(1, 0.5))
    means = {(s.method, s.keep): s.score.value for s in results.summary()}
    assert means["tome", 1.0] == pytest.approx(1)
    assert means["random", 0.5] < means["tome", 0.5] < 1


def test_the_built_in_head_fits_one_model_only(run):
    with pytest.raises(UsageError, match=r"fits only zoo:dinov2.*Dense\(decoder=...\)"):
        run(task="dense")


def test_heads_are_told_apart():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    texts = {Dense(d).describe() for d in (None, first, second, brightness)}
    assert len(texts) == 4
    assert Dense(first).describe() == Dense(first).describe()


def test_the_task_in_the_documentation_runs(run):
    (block,) = re.findall(r"```python\n(.*?)```", Task.__doc__, re.DOTALL)
    names = {"VisionTask": VisionTask, "Scores": tasks.Scores}
    exec("\n".join(line.removeprefix("    ") for line in block.splitlines()), names)  # noqa: S102
    results = run(task=names["Length"](), keep=(1, 0.5))
    assert results.tasks[0].title == "Length of the embedding"
    first, *others = [s for s in results.summary() if s.keep == 1]
    assert first.score.value == pytest.approx(1)
    assert {s.verdict for s in others} == {"identical"}


def test_thumbnails_show_what_the_model_saw(loaded, drawings):
    import io

    picture = Agreement()
    whole = subject(loaded.model, loaded.processor)
    batch = picture.batch(whole, drawings.examples[:3])
    assert batch.shape == (3, 3, 32, 32)
    thumbnails = picture.thumbnails(whole, batch, None)
    for thumbnail, example in zip(thumbnails, drawings, strict=False):
        shown = Image.open(io.BytesIO(thumbnail))
        assert shown.format == "WEBP"
        expected, found = example.image().getpixel((5, 5)), shown.convert("RGB").getpixel((5, 5))
        assert max(abs(a - b) for a, b in zip(expected, found, strict=True)) < 12


def test_images_of_different_shapes_are_refused(loaded, dataset, example):
    from transformers import ViTImageProcessorPil

    loose = ViTImageProcessorPil(do_resize=False)
    sizes = [(32, 32), (32, 48)]
    mixed = [example(i, make=partial(Image.new, "RGB", s)) for i, s in enumerate(sizes)]
    with pytest.raises(UsageError, match=r"images of 2 shapes.*image_size="):
        Agreement().batch(subject(loaded.model, loose), mixed)


def test_more_patches_than_can_be_kept(loaded, example):
    from transformers import ViTImageProcessorPil

    huge = example(0, make=partial(Image.new, "RGB", (1000, 1000)))
    with pytest.raises(UsageError, match="more than 32767 patches"):
        Agreement().batch(subject(loaded.model, ViTImageProcessorPil(do_resize=False)), [huge])
