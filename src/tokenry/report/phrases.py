"""What the page says differently about each kind of model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences of the page.

    Attributes:
        keep: What the dial is.
        time: What seconds are.
        profile: What operations, peak and time per layer are measured over.
        layers: What the panels show.
        tokens: What the pictures show.
        share: Head of the column with the measured share.
        part: Of what these columns are, when it is not a whole pass.
        rows: What two counts of a layer are.
        drawn: Which of the two the panels draw.
        unlabelled: What an example without label is called.
        hidden: Heads of columns that say nothing here.
        base: What methods are compared with.
        terms: What words of the page mean that not everybody knows.
    """

    keep: str
    time: str
    profile: str
    layers: str
    tokens: str
    share: str
    part: str
    rows: tuple[str, str]
    drawn: slice
    unlabelled: str
    hidden: tuple[str, ...] = ()
    base: str = "the untouched model"
    terms: str = ""

    @property
    def untouched(self) -> str:
        """The same as the name of a line."""
        return self.base.removeprefix("the ").capitalize()


PHRASES = {
    "vision": Phrases(
        keep="The mean share of tokens that the encoder\u2019s layers really process, so that "
        "methods with different schedules stand on one axis. At keep 1 nothing is removed. The "
        "share in the table is the measured one; where a method scores tokens in a whole pass of "
        "its own, that pass is counted too.",
        time="Seconds per example of a forward pass over a batch",
        profile="One forward pass over a batch.",
        layers="Above: milliseconds in each layer, method as bars, untouched model as a line. "
        "Below: tokens that enter the layer\u2019s attention and its MLP. All panels share their "
        "axes; the horizontal axis counts layers.",
        tokens="The worst cases come first. Patches that became one token share one tile in their "
        "mean colour; point at a tile to see all of its patches. Hatched patches were dropped. "
        "Where the image shows, the patch kept its own token. The count is what the last layer "
        "leaves; keep is the mean over all layers.",
        share="Tokens",
        part="",
        rows=("tokens in attention", "in the MLP"),
        drawn=slice(2),
        unlabelled="Unlabelled image",
    ),
    "causal-lm": Phrases(
        keep="The share of the full cache\u2019s slots that is held, or for methods that select, "
        "read, over all layers. At keep 1 the cache is complete. The share in the table is the "
        "measured one, at the end. Bytes held and read are those of keys and values.",
        time="Seconds per example: reading the prompt (prefill), cutting the cache, and all tokens "
        "after it, of which only the first few of a given continuation are timed, one by one; the "
        "others count as much",
        profile="The last 256 tokens of the prompt and the first two after it.",
        layers="Above: milliseconds in each layer for 256 tokens of the prompt and two more, "
        "method as bars, "
        "untouched model as a line. Below: slots that the last query read. All panels share their "
        "axes; the horizontal axis counts layers.",
        tokens="The worst cases come first. Each map has a row for each layer, the first on top, "
        "and a column for each token, the first on the left; blue is what the cache still held at "
        "the end, or what the last token read, pale where only some heads did. Below it the text: "
        "the stronger the tint, the more layers hold the token; grey text is in no layer. Point at "
        "a token for its number and the layers that hold it, one count for each keep.",
        share="Slots",
        part=", 256 tokens",
        rows=("slots held", "read"),
        drawn=slice(1, 2),
        unlabelled="Text",
        terms="A slot is the key and the value that one layer keeps of one token. Evicting methods "
        "drop slots, so that the cache is smaller; selecting methods keep all and read a part.",
    ),
    "writer": Phrases(
        keep="Drafting has no dial: the text stays the same, what changes is how many passes of "
        "the model it takes. The table counts passes per token.",
        time="Seconds per example of a whole call of generate, the prompt included",
        profile="The prompt and the first tokens after it.",
        layers="",
        tokens="Tinted tokens came from a draft and were accepted by the model; the others are the "
        "model\u2019s own, one in each pass. Point at a token for its pass. Above, for each "
        "method, tokens that one pass wrote, by position in the text.",
        share="Passes per token",
        part="",
        rows=("", ""),
        drawn=slice(2),
        unlabelled="Prompt",
        hidden=("Tokens",),
        terms="A drafter proposes tokens ahead; one pass of the model verifies them all, and those "
        "that it would have written itself stay. Accepted per pass counts these.",
    ),
    "text-encoder": Phrases(
        keep="The share of the documents\u2019 tokens that is indexed. Queries stay whole. At "
        "keep 1 the index holds a vector for each token. A scorer, or an index with its own "
        "rankers, has no dial and one row.",
        time="Seconds per query, from its text to the ranking: encoding, where the method needs "
        "vectors, and search; half of the queries take no longer than p50, 95 of 100 no longer "
        "than p95. Build is the time to encode all documents, once, and to make what the method "
        "searches",
        profile="One query.",
        layers="",
        tokens="The worst queries come first. For each token of the query, the token of the "
        "document that answers it, with the words around it and how near it is; where several "
        "tokens became one vector, the nearest of them is shown. For words, the first that is the "
        "same. Beside the document that answers the query, the best of those that exact "
        "MaxSim finds and that do not.",
        share="Tokens",
        part=", one query",
        rows=("tokens indexed", "looked at"),
        drawn=slice(1),
        unlabelled="Query",
        base="all token vectors",
        terms="MaxSim adds up, over the tokens of the query, the cosine to the nearest token of "
        "the document; \u201call token vectors\u201d does that exactly. MRR@10 is one over the "
        "rank of the first right document, and 0 beyond rank 10; recall@100 is the share of the "
        "right documents among the first 100.",
    ),
    "linker": Phrases(
        keep="Linkers have no dial. The score is F1 of all links, at a threshold that was chosen "
        "for each method on records that are not scored; F1 at the method\u2019s own threshold "
        "stands beside it, where it has one.",
        time="Seconds per record: reading both tables, encoding where vectors are needed, "
        "candidates and assignment for the whole tables, over the number of records that are "
        "scored. A text is encoded once, and each method that asks for it is charged for it",
        profile="The whole tables. It is the growth of the process, libraries included.",
        layers="Precision, recall and F1 on the records that are scored, had the threshold been "
        "another. A wide plateau under the chosen one means that it will hold on other records; "
        "all panels have their own horizontal axis, for scores of two methods are no common scale.",
        tokens="First the records on which methods disagree with each other, the more of them "
        "wrong the earlier, then those that all get wrong. Each method\u2019s choice stands "
        "beside the true one; colours are words of the compared columns. Where a score has parts, "
        "bars show what each adds; the dashed line is the threshold.",
        share="",
        part="",
        rows=("", ""),
        drawn=slice(2),
        unlabelled="Record",
        hidden=("Keep", "Tokens", "GFLOPs"),
        base="the encoder alone",
        terms="Precision is the share of links that are right, recall the share of true links that "
        "were found, F1 their harmonic mean.",
    ),
}
