import dataclasses
import re
from collections import Counter
from html import escape
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from tokenry.compare.code import Source
from tokenry.compare.records import Interval, MethodInfo, Skipped, TaskInfo
from tokenry.errors import StoreError, UsageError
from tokenry.report import answer
from tokenry.report.page import HERE, html, report

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&{{7*7}}{%x%}"
    "\x00\x07\x1b[31m\u202e\u2066\ud800</style></svg>]]><!--\n\t" + "A" * 10_000
)
SMALL = {"tasks": (TaskInfo("a", "A", "cosine", False, True, ""),), "keeps": (1.0, 0.5)}
VOID = {"meta", "input", "link", "br", "img"}


class Page(HTMLParser):
    """Tags with attributes, the text of each element, and whether all tags are closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(scope="module")
def source(build):
    return html(build())


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def hostile_results(build, info):
    label = HOSTILE
    card = info("pitome").card
    claims = [dict.fromkeys(("paper", "effect", "test", "measured", "not_shown"), HOSTILE)]
    text = dict.fromkeys(("name", "title", "dial", "venue", "code", "needs"), HOSTILE)
    methods = [
        MethodInfo(label, "PiToMe", HOSTILE, HOSTILE, True, card | text | {"claims": claims}),
        MethodInfo(label + "2", "ToMe", "x", "", True, card | {"differs": [HOSTILE]}),
    ]
    return build(
        methods=methods,
        tasks=(TaskInfo("probe", HOSTILE, HOSTILE, False, True, HOSTILE),),
        labels=lambda n: HOSTILE + str(n),
        examples=12,
        model=HOSTILE,
        data=HOSTILE,
        environment={HOSTILE: HOSTILE},
        skipped=(Skipped(label, 0.5, HOSTILE),),
        source=Source("zoo:" + HOSTILE, "", {}),
    )


def test_writes_the_page(build, tmp_path):
    results = build(groups=lambda *_: None, **SMALL)
    path = report(results, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == html(results)


def test_is_small(source):
    pictures = sum(len(uri) for uri in re.findall(r"data:[^\"]*", source))
    assert len(source.encode()) - pictures < 1_500_000


def test_every_tag_is_closed(page):
    assert page.open == []
    assert len(page.all("main")) == len(page.all("h1")) == 1


def test_refers_to_nothing_outside(page, source):
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/webp;base64,"))
    assert set(re.findall(r"url\(([^)]*)\)", source)) <= {"#hatch"}
    assert "@import" not in source


def test_policy_allows_no_network_and_only_our_script(page):
    policy = next(
        a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-[\w+/=]{44}';", policy)


def test_answer_names_the_best_with_its_code(page):
    assert page.text("h1")[0].startswith("PiToMe at keep 0.25: 2.0")
    code = next(text for text in page.text("code") if "attach" in text)
    assert "tokenry.attach(model, 'pitome', keep=0.25)" in code


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("better", "gain 0.030"), ("not distinguishable", "no distinguishable loss")],
)
def test_a_gain_that_may_be_chance_is_not_called_one(verdict, said):
    task = TaskInfo("agreement", "Agreement", "cosine", False, True, "How near.")
    summary = SimpleNamespace(verdict=verdict, difference=Interval(0.03, -0.01, 0.07))
    assert answer._loss(SimpleNamespace(summary=summary, task=task)) == said


def test_says_slower_in_words(page):
    lines = [text for tag, text in page.texts if tag in ("dt", "b")]
    after = lines[lines.index("Slower") + 1 :]
    assert after[0] == "Zero-TPrune"
    assert "slower" in page.text("td")


def test_the_best_stands_among_those_within_the_allowed_loss(page):
    lines = [text for tag, text in page.texts if tag in ("dt", "b")]
    good, costly = (lines.index(t) for t in ("Faster, loss within 0.01", "Faster, may lose more"))
    assert lines[good + 1 : costly][0] == "PiToMe"
    assert "Random" in lines[costly:]


def test_says_when_nothing_is_faster(build):
    slow = dict.fromkeys(("pitome", "tome", "zero-tprune", "random", "resize"), (0.8, 0.01))
    page = Page(html(build(profiles=slow, **SMALL)))
    assert page.text("h1") == ["No method is faster here: every one is slower"]
    assert not page.all("pre")


def test_keeps_the_untouched_model_when_what_is_faster_loses(build):
    lossy = dict.fromkeys(("pitome", "tome", "zero-tprune", "random", "resize"), (2.0, 0.5))
    (title,) = Page(html(build(profiles=lossy, **SMALL))).text("h1")
    assert title == "What is faster here may lose more than 0.01"


def test_tables_sort(page):
    heads = [a for a in page.all("th") if a.get("scope") == "col" and "aria-sort" in a]
    assert len(heads) == 2 * 11
    assert {a["aria-sort"] for a in heads} == {"none"}
    rows = 2 * (1 + 5 * 4)
    cells = [a for a in page.all("td") if "data-sort" in a]
    assert len(cells) == rows * 10
    assert len([a for a in page.all("th") if a.get("scope") == "row"]) == rows


def test_pictures_come_worst_first(build):
    results = build(**SMALL)
    page = Page(html(results))
    wanted = list(dict.fromkeys(p.label for p in results.pictures(worst=8)))[:8]
    titles = [a["id"] for a in page.all("h3") if re.fullmatch(r"example\d", a.get("id", ""))]
    shown = [text for text in page.text("h3") if text.startswith("globe")]
    assert len(titles) == 8
    assert shown == wanted


def test_pictures_are_described(page):
    drawn = [a for a in page.all("svg") if a.get("role") == "img"]
    assert len(drawn) > 8
    assert all(a["aria-label"] for a in drawn)
    assert any("of 64 patches left as tokens" in a["aria-label"] for a in drawn)


def test_without_pictures(build):
    page = Page(html(build(groups=lambda *_: None, **SMALL)))
    assert "tokens" not in {a.get("id") for a in page.all("section")}
    assert "#tokens" not in {a.get("href") for a in page.all("a")}


def test_incomplete_run(build):
    whole = build(**SMALL)
    rows = [row for row in whole.rows() if int(row.example) < 24]
    page = Page(html(build(complete=False, _rows=rows, **SMALL)))
    assert "Incomplete run." in page.text("strong")
    assert any("24 of 40 examples" in text for text in page.text("p"))


def test_keep_one_alone(build):
    page = Page(html(build(keeps=(1.0,))))
    assert page.text("h1") == ["No method is shown to be faster here"]
    assert {a.get("id") for a in page.all("section")} == {
        "answer",
        "task0",
        "task1",
        "papers",
        "notes",
    }


def test_claims_stand_beside_what_was_measured(page, info):
    claim = info("pitome").card["claims"][0]
    assert claim["paper"] in page.text("td")
    assert any(text.startswith("keep 0.75: ") for text in page.text("dd"))
    assert {"Shown:", "Not shown:"} >= {t for t in page.text("b") if t.endswith("hown:")} != set()


def test_skipped_and_environment(page):
    assert any(
        text.startswith("Refused: ") and "the image would be smaller than a patch" in text
        for text in page.text("p")
    )
    assert "2.13.0" in page.text("dd")


@pytest.fixture(scope="module")
def hostile(build, info):
    return html(hostile_results(build, info))


def test_hostile_text_stays_text(hostile):
    page = Page(hostile)
    assert page.open == []
    assert page.text("script") == [(HERE / "script.js").read_text(encoding="utf-8").strip()]
    assert len(page.all("style")) == 1
    assert not [name for _, a in page.tags for name in a if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text("h1")[0]
    assert any("{{7*7}}" in text for text in page.text("dd"))


def test_hostile_text_makes_no_element(build, hostile):
    plain = Counter(tag for tag, _ in Page(html(build(**SMALL))).tags)
    assert set(Counter(tag for tag, _ in Page(hostile).tags)) == set(plain)


def test_hostile_characters_are_gone_and_long_names_cut(hostile):
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile)
    assert max(len(run) for run in re.findall("A+", hostile)) < 600
    assert len(hostile) < 1_500_000


def test_long_configurations_of_one_method_are_told_apart(build, info):
    inside = [f"variant='bsm-full', form='paper', margin={m}" for m in (0.5, 0.6)]
    methods = [
        dataclasses.replace(info("pitome"), label=f"pitome({text})", settings=text)
        for text in inside
    ]
    source = html(build(methods=methods, **SMALL))
    for n, method in enumerate(methods, 1):
        assert f"paper&#39;… {n}" in source
        assert escape(method.label).replace("&#x27;", "&#39;") in source


def test_names_a_path_that_cannot_be_written(build, tmp_path):
    with pytest.raises(StoreError, match=r"report: .*cannot be written.*folder"):
        report(build(groups=lambda *_: None, **SMALL), tmp_path / "missing" / "report.html")


def test_what_has_no_page_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"report: there is no page of dict; give what .*compare"):
        report({}, tmp_path / "report.html")


def test_broken_picture(build):
    groups = build()._pictures("pitome", 0.5, "0")[0]
    with pytest.raises(StoreError, match="stored picture is not a WebP or PNG"):
        html(build(groups=lambda *_: (groups, b"no image"), **SMALL))
