"""The card: everything that tokenry says about a paper, written once, in the system's own file."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tokenry.errors import UsageError

Family = Literal[
    "vision",
    "cache",
    "decoding",
    "vocab",
    "codes",
    "diffusion",
    "retrieval",
    "linking",
    "training",
    "probes",
]
Needs = Literal["nothing", "calibration", "training"]

FAMILIES: tuple[str, ...] = get_args(Family)

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TEST = re.compile(r"tests/[\w/]+\.py::\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim of a paper, and what became of it here.

    Args:
        paper: What the paper reports.
        effect: The relative effect that our test looks for.
        test: The test that shows it, as `tests/<family>/test_<slug>.py::test_name`;
            empty when the effect is not shown.
        measured: The figure that we measured, with model and data.
        not_shown: Why the effect is not shown; empty when it is.

    Raises:
        UsageError: If the claim has neither a test nor a reason, or both.
    """

    paper: str
    effect: str
    test: str = ""
    measured: str = ""
    not_shown: str = ""

    def __post_init__(self) -> None:
        if bool(self.test) == bool(self.not_shown):
            raise UsageError(
                f"Claim: {self.effect!r} needs either the test that shows it or the reason why "
                "it is not shown, not both."
            )
        if self.test and not _TEST.fullmatch(self.test):
            raise UsageError(
                f"Claim: test={self.test!r} is not of the form tests/<folder>/test_x.py::test_name."
            )
        if self.test and not self.measured:
            raise UsageError(f"Claim: {self.effect!r} has a test but no measured figure.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a system is, where it comes from, and what holds of it here.

    Args:
        slug: Name of the file and of the method on the command line.
        name: The paper's short name.
        title: The paper's title; for a plain baseline, what it does.
        summary: One sentence for a person who chooses.
        family: The folder it lives in.
        have: "I have ...", for the chooser table.
        want: "I want ...", for the chooser table.
        dial: How `keep` maps to the paper's own knob.
        needs: What must happen before first use.
        exact: True when the output always equals the untouched model's.
        year: Year of the paper; None for a plain baseline.
        arxiv: arXiv id; None when there is none.
        venue: Where it was published.
        code: Address of the official code; empty when there is none.
        code_license: Licence of the official code; empty when there is none.
        claims: What the paper claims, and what became of it here.
        differs: Every departure from paper or official code, with its reason.

    Raises:
        UsageError: If a field is malformed.
    """

    slug: str
    name: str
    title: str
    summary: str
    family: Family
    have: str
    want: str
    dial: str
    needs: Needs = "nothing"
    exact: bool = False
    year: int | None = None
    arxiv: str | None = None
    venue: str = ""
    code: str = ""
    code_license: str = ""
    claims: tuple[Claim, ...] = ()
    differs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.slug):
            raise UsageError(f"Card: slug={self.slug!r} is not lower-case words joined by dashes.")
        if self.family not in FAMILIES:
            raise UsageError(
                f"Card {self.slug}: family={self.family!r} is unknown; "
                f"allowed: {', '.join(FAMILIES)}."
            )
        for field in ("name", "title", "summary", "have", "want", "dial"):
            if not getattr(self, field).strip():
                raise UsageError(f"Card {self.slug}: {field} is empty; every card fills it.")
        if self.arxiv is not None and not re.fullmatch(r"\d{4}\.\d{4,5}", self.arxiv):
            raise UsageError(f"Card {self.slug}: arxiv={self.arxiv!r} is not like 2405.16148.")
        if self.arxiv is not None and not (self.claims and self.year):
            raise UsageError(f"Card {self.slug}: a published system states its year and a claim.")

    @property
    def is_baseline(self) -> bool:
        """True for a plain baseline that no paper stands behind."""
        return self.arxiv is None

    @property
    def url(self) -> str:
        """Address of the paper; empty for a plain baseline."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    def to_dict(self) -> dict[str, Any]:
        """The card as plain data, as it stands in `catalog.json`."""
        return asdict(self)
