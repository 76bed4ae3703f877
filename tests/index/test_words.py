"""BM25 of the catalogue, which takes changes one by one, against a package that builds it whole."""

import numpy as np
import pytest

from tokenry import Index
from tokenry.index.passages import passage


def test_words_are_ranked_as_by_bm25s_after_every_kind_of_change(tmp_path, encoder):
    bm25s = pytest.importorskip("bm25s")
    draw = np.random.default_rng(0)

    def text():
        return " ".join(map(str, draw.zipf(1.4, draw.integers(1, 40)).clip(max=60)))

    held = {str(i): text() for i in range(60)}
    with Index(tmp_path, encoder) as index:
        index.add([{"id": name, "text": body} for name, body in held.items()])
        for name in list(held)[:60:3]:
            held[name] = text()
            index.update([{"id": name, "text": held[name]}])
        for name in list(held)[1:60:3]:
            del held[name]
        index.delete([str(i) for i in range(1, 60, 3)])
        reference = bm25s.BM25(method="robertson", k1=1.2, b=0.75, dtype="float64")
        documents = [[int(word) for word in body.split()] for body in held.values()]
        reference.index((documents, {str(i): i for i in range(61)}), show_progress=False)
        for query in ([7], [9, 23, 41], [12, 3, 58]):
            # SQLite has Robertson's k1 + 1, and words in most documents count a millionth, not 0
            expected = dict(zip(held, 2.2 * reference.get_scores_from_ids(query), strict=True))
            hits = index.search(" ".join(map(str, query)), 60, rankers="bm25")
            found = dict.fromkeys(held, 0.0) | {hit.id: hit.score for hit in hits}
            assert found == pytest.approx(expected, abs=1e-5)
            assert max(expected.values()) > 1


def test_words_are_marked_in_the_form_that_they_have(tmp_path, encoder):
    """One place of each, where they stand together."""
    texts = {
        "far": "renew it. "
        + "so much else to say. " * 40
        + "The Caf\u00e9's certificates: renewing.",
        "once": "A certificate.",
        "none": "tea",
        "zero": "a certificate\x00 of a cafe",
        "marks": "a \ufdd0certificate\ufdd1 of a cafe",
    }
    with Index(tmp_path, encoder) as index:
        index.add([{"id": name, "text": text} for name, text in texts.items()])
        query = "RENEW a cafe certificate"
        hits = {hit.id: hit for hit in index.search(query, rankers="bm25")}
    assert encoder.encoded == len(texts)  # no query was
    assert set(hits) == set(texts) - {"none"}
    found = {
        name: [(query[slice(*m.query)], hit.text[slice(*m.document)]) for m in hit.matches]
        for name, hit in hits.items()
    }
    together = [("RENEW", "renewing"), ("cafe", "Caf\u00e9"), ("certificate", "certificates")]
    assert found["far"] == together
    assert found["once"] == [("a", "A"), ("certificate", "certificate")]
    assert found["zero"] == found["marks"] == []
    assert passage(hits["far"], 60).text.endswith("The Caf\u00e9's certificates: renewing.")
