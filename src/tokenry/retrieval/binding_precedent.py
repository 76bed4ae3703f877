"""Binding precedents: find texts on a theme from those that cite it, and count them over time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from tokenry.card import Card, Claim
from tokenry.errors import MissingExtraError, UsageError
from tokenry.method import Embed, Finder, In, ThemeFinder, Train
from tokenry.method.finder import Score
from tokenry.ops import word_lstm
from tokenry.ops.segments import best_window, in_windows
from tokenry.ops.splits import every_fourth
from tokenry.ops.thresholds import middle_threshold
from tokenry.ops.trends import Change, by_period, change

OnTheme = Bool[np.ndarray, " n"]


@final
@dataclass(frozen=True, kw_only=True)
class BindingPrecedent(ThemeFinder):
    """Learns a theme from texts that cite it, with the citation taken out.

    A text that cites a precedent is surely on its theme; one that does not may be, above all if it
    is older. So the citation is a label that costs nothing, and must be hidden from the learner.

    Args:
        by: What learns: TF-IDF with a linear support vector machine, an LSTM over words, a linear
            model over an encoder's vectors, an encoder as a whole, or rules that a person wrote.
        citation: A regular expression of the citation; taken out of all texts. Empty takes nothing
            out.
        rules: Regular expressions, of which one must match, for by="regex".
        window: Words that a model reads at a time; a text counts as its best window.
        words: Most words that the LSTM knows.
        width: Of the LSTM.
        longest: Words of a text that the LSTM reads: its head and tail.
        epochs: Of the LSTM.
        seed: Of the LSTM.

    Raises:
        UsageError: If an expression cannot be read, or there are no rules where they are needed.

    Source: Tinarrage et al. 2024, sections 3 and 4.
    """

    card: ClassVar[Card] = Card(
        slug="binding-precedent",
        name="Binding precedents",
        title="Empirical analysis of Binding Precedent efficiency in the Brazilian Supreme Court "
        "via Similar Case Retrieval",
        summary="Finds texts on a theme that some texts cite, and counts them before and after.",
        family="retrieval",
        have="texts of which some cite a decision, a standard or a name",
        want="the others on the same theme, and their number over time",
        dial="none: there is no keep",
        year=2024,
        arxiv="2407.07004",
        venue="Artificial Intelligence and Law 2025",
        claims=(
            Claim(
                paper="Deep models are not better than TF-IDF on the usual metrics.",
                effect="TF-IDF finds uncited texts on the theme at least as well as an LSTM does.",
                test="tests/retrieval/test_binding_precedent.py"
                "::test_claim_tfidf_is_no_worse_than_an_lstm",
                measured="Average precision on 1,200 paragraphs of manual pages that do not name "
                "the theme, TF-IDF and LSTM: image tools 0.565 and 0.351, databases 0.512 and "
                "0.167, X servers 0.420 and 0.215; the closest difference is +0.205 [+0.134, "
                "+0.272] (`recipes/precedent_study.py`). On 4,000 Debian packages (`--index`), "
                "audio: 0.163 and 0.078.",
            ),
            Claim(
                paper="Rules of experts are precise and miss much.",
                effect="Rules miss most of the theme, and are right in most that they find.",
                test="tests/retrieval/test_binding_precedent.py::test_claim_rules_miss_most",
                measured="Precision and recall: 0.793 and 0.214 (images), 0.543 and 0.271, 0.538 "
                "and 0.193. TF-IDF at its threshold is more precise and misses more: 0.875 and "
                "0.163, 1 and 0.071, 1 and 0.034.",
            ),
            Claim(
                paper="The citation itself must not be seen by the learner.",
                effect="With the citation left in, held-out citing texts are found nearly "
                "perfectly, and uncited ones on the theme hardly at all.",
                test="tests/retrieval/test_binding_precedent.py"
                "::test_claim_a_citation_that_stays_in_leaks",
                measured="Held-out citing, average precision with it and without: 0.988 and 0.495 "
                "(images), 0.966 and 0.712 (databases), 0.763 and 0.236 (X servers); recall of "
                "uncited ones 0.014 against 0.163, 0 against 0.071, 0.007 against 0.034.",
            ),
            Claim(
                paper="Deep models find relevant decisions that TF-IDF misses.",
                effect="An encoder finds texts on the theme that TF-IDF does not.",
                not_shown="Without a test, since the training takes minutes. zoo:minilm-l6 trained "
                "as a whole: average precision 0.613, 0.660 and 0.180, that is +0.048 [-0.006, "
                "+0.104], +0.148 [+0.038, +0.242] and -0.240 [-0.320, -0.156] to TF-IDF; the last "
                "theme has few texts to learn from. Frozen it is simply better: 0.710, 0.658, "
                "0.456; on packages 0.313 and 0.143 (mail), TF-IDF 0.163 and 0.018.",
            ),
            Claim(
                paper="What cites a precedent finds what is older; the demand did not fall.",
                effect="Learned late, early texts are found as well as learned early, and finds "
                "change on a day as the true counts do.",
                not_shown="Neither. Early entries of Python's news that do not name the theme, by "
                "TF-IDF: average precision 0.438 learned early and 0.159 late (IDLE, -0.279 "
                "[-0.435, -0.079]); Windows 0.180 and 0.203, documentation 0.134 and 0.070, tests "
                "0.024 and 0.020, within chance. After to before 0.55 found, 0.18 true; 1.07, "
                "1.58; 1.11, 2.69; 0.88, 6.52 (recipes/precedent_time.py).",
            ),
        ),
        differs=(
            "Long texts are read in windows, of which the best counts; the paper cuts them off.",
            "The threshold is that of best F1 on every fourth text, which is not learned from.",
            "The decisions of the court are not at hand: manual pages and Debian's packages "
            "stand in, whose truth is known also for texts that cite nothing.",
        ),
    )

    by: Annotated[Literal["tfidf", "lstm", "encoder", "classifier", "regex"], "what learns"] = (
        "tfidf"
    )
    citation: Annotated[str, "a regular expression of the citation"] = ""
    rules: Annotated[tuple[str, ...], "regular expressions, of which one must match"] = ()
    window: Annotated[int, In(1, 100_000), "words that a model reads at a time"] = 200
    words: Annotated[int, In(1, 10_000_000), "most words that the LSTM knows"] = 20_000
    width: Annotated[int, In(1, 10_000), "of the LSTM"] = 48
    longest: Annotated[int, In(2, 1_000_000), "words of a text that the LSTM reads"] = 512
    epochs: Annotated[int, In(1, 10_000), "of the LSTM"] = 8
    seed: Annotated[int, In(0, 2**32 - 1), "of the LSTM"] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in (self.citation, *self.rules):
            try:
                re.compile(one)
            except re.error as error:
                raise UsageError(f"BindingPrecedent: {one!r} is no pattern ({error}).") from error

    def hidden(self, text: str) -> str:
        r"""A text without the citation.

        >>> BindingPrecedent(citation=r"precedent (no\. )?11").hidden("See Precedent no. 11 here.")
        'See   here.'
        """
        return re.sub(self.citation, " ", text, flags=re.IGNORECASE) if self.citation else text

    def learn(
        self,
        texts: Sequence[str],
        on_theme: Sequence[bool],
        embed: Embed | None = None,
        train: Train | None = None,
    ) -> Finder:
        """A finder of further texts on the theme.

        Raises:
            UsageError: If no text is on the theme or all are, or what `by` needs is missing.
            MissingExtraError: If scikit-learn is not installed.
        """
        labels = np.asarray(on_theme, dtype=bool)
        if min(labels.sum(), (~labels).sum()) < 2:
            raise UsageError(
                f"BindingPrecedent: {int(labels.sum())} of {len(labels)} texts are on the theme; "
                "give at least two that are and two that are not."
            )
        if self.by == "regex":
            return Finder(score=self._by_rules, threshold=0.5)
        read = [self.hidden(text) for text in texts]
        learned = self._learner(embed, train)
        held = every_fourth(labels)
        rest = np.flatnonzero(~held)
        score = learned([read[at] for at in rest.tolist()], labels[rest])

        def scored(new: Sequence[str]) -> Float[np.ndarray, " n"]:
            return np.asarray(score([self.hidden(text) for text in new]), dtype=np.float64)

        seen = scored([texts[at] for at in np.flatnonzero(held).tolist()])
        return Finder(score=scored, threshold=middle_threshold(seen, labels[held]))

    def trend(
        self, days: Int[np.ndarray, " n"], found: OnTheme, precedent: int, length: int = 30
    ) -> tuple[Int[np.ndarray, "p 3"], Change]:
        """Texts and finds of each period, and the change from the precedent's day on.

        Raises:
            UsageError: If all texts are on one side of the day.
        """
        return by_period(days, found, length), change(days, found, precedent)

    def _by_rules(self, texts: Sequence[str]) -> Float[np.ndarray, " n"]:
        if not self.rules:
            raise UsageError("BindingPrecedent: by='regex' has no rules; give rules=(...).")
        rules = [re.compile(rule, re.IGNORECASE) for rule in self.rules]
        read = [self.hidden(text) for text in texts]
        return np.array([float(any(rule.search(text) for rule in rules)) for text in read])

    def _learner(self, embed: Embed | None, train: Train | None) -> Train:
        if self.by in ("tfidf", "lstm"):
            return self._tfidf if self.by == "tfidf" else self._lstm
        if self.by == "encoder":
            train = None if embed is None else partial(_on_vectors, embed)
        if train is None:
            missing = "vectors; give embed=" if self.by == "encoder" else "a trainer; give train="
            raise UsageError(f"BindingPrecedent: by={self.by!r} needs {missing}.")
        return partial(self._in_windows, train)

    def _in_windows(self, train: Train, texts: Sequence[str], labels: OnTheme) -> Score:
        owners, parts = in_windows(texts, self.window)
        read = train(parts, labels[owners])
        return lambda new: best_window(new, self.window, read)

    def _tfidf(self, texts: Sequence[str], labels: OnTheme) -> Score:
        vectorizer, machine, _ = _scikit_learn()
        words = vectorizer(ngram_range=(1, 2), sublinear_tf=True, stop_words="english")
        model = machine(class_weight="balanced", random_state=self.seed)
        model.fit(words.fit_transform(texts), labels)
        return lambda new: model.decision_function(words.transform(new))

    def _lstm(self, texts: Sequence[str], labels: OnTheme) -> Score:
        known = word_lstm.known_words(texts, self.words)
        ids = word_lstm.numbered(texts, known, self.longest)
        truth = torch.from_numpy(labels).float()
        model = word_lstm.fitted(ids, truth, len(known) + 2, self.width, self.epochs, self.seed)
        return lambda new: word_lstm.logits(
            model, word_lstm.numbered(new, known, self.longest)
        ).numpy()


def _on_vectors(embed: Embed, texts: Sequence[str], labels: OnTheme) -> Score:
    model = _scikit_learn()[2](class_weight="balanced", max_iter=1000, C=10.0)
    model.fit(embed(texts), labels)
    return lambda new: model.decision_function(embed(new))


def _scikit_learn() -> tuple[Any, Any, Any]:
    """Its vectorizer of words, support vector machine, and logistic regression."""
    try:
        from sklearn import feature_extraction, linear_model, svm
    except ImportError as error:
        raise MissingExtraError("BindingPrecedent", 'pip install "tokenry[retrieval]"') from error
    words = feature_extraction.text.TfidfVectorizer
    return words, svm.LinearSVC, linear_model.LogisticRegression
