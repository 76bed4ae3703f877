"""The page of one run over tables: what was linked, what nearly was, and what each stage cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from tokenry.counted import counted
from tokenry.report import words
from tokenry.report.aligned import fields
from tokenry.report.graphs import picture
from tokenry.report.vega import Spec, load, to_svg
from tokenry.report.weights import waterfall

PARTNERS = {
    "best_left": "each left row its best partner",
    "best_right": "each right row its best partner",
    "one_to_one": "at most one partner for each row, the best sum of scores",
    "mutual": "only rows that are each other's best",
    "greedy": "at most one partner for each row, the best pair first",
    "many": "any number of partners",
}
"""What each assignment allows."""
WIDE, NARROW = 640, 290
"""Pixels of a histogram, and of one on a telephone."""


@runtime_checkable
class Told(Protocol):
    """Anything that tells of links as plain data, such as what `tokenry.link` gives."""

    def told(self) -> dict[str, Any]:
        """See `tokenry.tables.telling`."""


def content(run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template shows, cleaned.

    Args:
        run: As `Told.told` gives it.
    """
    examples = [_example(one, run["threshold"]) for one in run["examples"]]
    page: dict[str, Any] = {
        "title": _title(run),
        "headline": _headline(run),
        "lead": _lead(run),
        "figures": _figures(run),
        "notes": [words.clean(note, 400) for note in run["notes"]],
        "histogram": to_svg(_chart(run, WIDE)) if run["histogram"] else "",
        "histogram_narrow": to_svg(_chart(run, NARROW)) if run["histogram"] else "",
        "threshold": "" if run["threshold"] is None else words.digits_of(run["threshold"]),
        "barely": [one for one in examples if one["kind"] == "good"],
        "nearly": [one for one in examples if one["kind"] != "good"],
        "clusters": [picture(one) for one in run["clusters"]],
        "stages": _stages(run),
        "blocking": _blocking(run),
        "settings": _settings(run),
    }
    sections = (
        ("scores", "Scores", "histogram"),
        ("threshold", "Threshold" if page["threshold"] else "Weakest", "barely"),
        ("clusters", "Clusters", "clusters"),
        ("stages", "Stages", "stages"),
    )
    page["sections"] = [
        ("answer", "Answer"),
        *((anchor, title) for anchor, title, key in sections if page[key]),
        ("notes", "Notes"),
    ]
    return page


def _title(run: Mapping[str, Any]) -> str:
    left, right = (words.clean(_file(name)) for name in run["names"])
    return left if run["alone"] else f"{left} and {right}"


def _file(name: str) -> str:
    """Of a table that was read from a file, the file's name."""
    return name.partition(" (")[2].removesuffix(")") or name


def _headline(run: Mapping[str, Any]) -> str:
    if "clustering" in run:
        rows = counted(run["rows"][0], "row is", "rows are")
        return f"{rows} {counted(run['clustering']['clusters'], 'thing')}"
    if run["alone"]:
        return f"{counted(run['links'], 'pair')} among {counted(run['rows'][0], 'row')}"
    rows = f"{run['rows'][0]:,} and {counted(run['rows'][1], 'row')}"
    return f"{counted(run['links'], 'link')} between {rows}"


def _lead(run: Mapping[str, Any]) -> str:
    found = run["facts"]
    said = []
    if "clustering" in run:
        made = run["clustering"]
        said.append(
            f"{counted(made['several'], 'cluster holds', 'clusters hold')} several rows, the "
            f"largest {made['largest']:,}."
        )
        if made.get("cut"):
            said.append(f"Guards cut {counted(made['cut'], 'link')}.")
    if "f1" in found:
        said.append(
            f"Against the given gold: precision {found['precision']:.4f}, recall "
            f"{found['recall']:.4f}, F1 {found['f1']:.4f}."
        )
    else:
        where = "the weakest links" if run["threshold"] is None else "the threshold"
        said.append(f"Nothing was given to measure these links against; look at {where}.")
    return " ".join(said)


def _figures(run: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    seconds = sum(stage["seconds"] for stage in run["stages"])
    peak = max((stage["peak_bytes"] for stage in run["stages"]), default=0)
    figures = []
    if run["method"]:  # links from elsewhere are not told of
        cut = run["threshold"]
        note = "whatever they score" if cut is None else f"from {words.digits_of(cut)} on"
        figures.append(("Links", f"{run['links']:,}", note))
    if run["alone"]:
        figures.append(("Rows without a partner", f"{_alone(run):,}", f"of {run['rows'][0]:,}"))
    else:
        notes = [f"of {count:,}" for count in run["rows"]]
        for name, count, note in zip(("Left", "Right"), run["unlinked"], notes, strict=True):
            figures.append((f"{name} rows without a partner", f"{count:,}", note))
    if run["stages"]:
        figures.append(("Time", words.seconds(seconds), "all stages"))
        figures.append(("Peak memory", f"{words.megabytes(peak)}\u202fMB", "the whole process"))
    return figures[:5]


def _alone(run: Mapping[str, Any]) -> int:
    """Rows of one table that nothing is the same as: where there are clusters, those of one row."""
    made = run.get("clustering")
    return int(made["clusters"] - made["several"] if made else run["unlinked"][0])


def _chart(run: Mapping[str, Any], width: int) -> Spec:
    spec = {**load("scores"), "width": width}
    spec["datasets"] = {
        "bars": [
            {
                "from": low,
                "to": high,
                "count": count,
                "says": f"{words.digits_of(low)} to {words.digits_of(high)}: "
                + counted(count, "link"),
            }
            for low, high, count in run["histogram"]
        ],
        "threshold": [] if run["threshold"] is None else [{"at": run["threshold"]}],
    }
    return spec


def _example(one: Mapping[str, Any], threshold: float | None) -> dict[str, Any]:
    linked = one["linked"]
    score = one["score"] if one["score"] == one["score"] else None
    said = "no score" if score is None else f"score {words.digits_of(score)}"
    return {
        "title": "Linked" if linked else "Not linked",
        "kind": "good" if linked else "bad",
        "score": said if threshold is None else f"{said}, threshold {words.digits_of(threshold)}",
        "fields": fields(one["left"], one["right"], one["keys"]),
        "waterfall": waterfall(one["parts"], score, threshold),
    }


def _stages(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    longest = max((stage["seconds"] for stage in run["stages"]), default=0.0) or 1.0
    return [
        {
            "name": words.clean(stage["name"], 40),
            "rows": f"{stage['rows']:,}",
            "seconds": words.seconds(stage["seconds"]),
            "share": round(100 * stage["seconds"] / longest),
            "peak": words.megabytes(stage["peak_bytes"]),
            "kept": bool(stage["kept"]),
        }
        for stage in run["stages"]
    ]


def _blocking(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How candidates came about."""
    facts = run["facts"]
    left, right = run["rows"]
    pairs = left * (left - 1) // 2 if run["alone"] else left * right
    lines = []
    if "candidates" in facts:
        share = f", {_percent(facts['candidates'] / pairs)} of all pairs" if pairs else ""
        lines.append(("Candidates", f"{facts['candidates']:,}{share}"))
    if facts.get("dropped_pairs"):
        lines.append(("Left out, blocks too large", counted(facts["dropped_pairs"], "pair")))
    if "blocking_recall" in facts:
        lines.append(("Gold among the candidates", _percent(facts["blocking_recall"])))
    for name, count in run["sources"].items():
        where = "among the nearest" if name == "nearest" else f"in block {words.clean(name, 60)}"
        lines.append((f"Links {where}", f"{count:,}"))
    return lines


def _assignment(name: str) -> str:
    """The name with what it allows."""
    said = words.clean(name, 40)
    return f"{said}: {PARTNERS[name]}" if name in PARTNERS else said


def _percent(share: float) -> str:
    return f"{words.digits(100 * share)}\u202f%" if share >= 1e-5 or not share else "<0.001\u202f%"


def _settings(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    left, right = run["on"] or ([], [])
    on = [a if a == b else f"{a} = {b}" for a, b in zip(left, right, strict=True)]
    found = [
        ("Keys", ", ".join(words.clean(name, 60) for name in on)),
        ("Method", words.clean(run["method"], 120)),
        ("Threshold", "" if run["threshold"] is None else words.digits_of(run["threshold"])),
        ("Assignment", _assignment(run["assign"])),
    ]
    return [(name, value) for name, value in found if value]
