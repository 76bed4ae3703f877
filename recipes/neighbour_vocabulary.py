"""Measure an index over a very large vocabulary: how often it holds the token that the head takes.

The model is the small one of `recipes/zett_tiny.py`. Its tokenizer grows by merges that are learned
from a folder of texts, and when there are no more of these, by words and runs of up to four words,
the most frequent first. Rows of the new tokens are a hypernetwork's or FVT's, and texts are written
with the longest tokens that fit. At each place of the texts the token that the head over all takes
is looked for among 20 neighbours; where it is one, `NeighbourHead` takes it too. Beside that stand
the memory of the leaves, and processor time of the head over all and of neighbours' scores, both
for one place at a time, as in writing. A million rows take minutes of a core to predict:

    zcat /usr/share/man/man1/*.gz > pages/man1.txt
    python recipes/neighbour_vocabulary.py pages --sizes 7000 36829
    python recipes/neighbour_vocabulary.py pages --sizes 1000000
    python recipes/neighbour_vocabulary.py pages --sizes 1000000 --rows fvt --model zoo:smollm2-135m
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokenry import zoo
from tokenry.alphabet import to_letters
from tokenry.data.manpages import FOLDER
from tokenry.plugs.dynamic import new_rows
from tokenry.plugs.extension import longest_prefix
from tokenry.plugs.moving import embeddings_of
from tokenry.plugs.neighbours import NeighbourHead
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import FVT, Zett

TINY = Path(__file__).parents[1] / "tests" / "vocab" / "tiny_zett"


def lines(folder: Path) -> Iterator[str]:
    """The lines of all files of a folder."""
    for path in sorted(folder.glob("*")):
        with path.open(encoding="utf-8", errors="ignore") as file:
            yield from file


def tokens(folder: Path, size: int) -> list[bytes]:
    """Tokens of the texts: pieces first, then words and phrases until there are enough."""
    found = dict.fromkeys(pieces(folder, size))
    if len(found) < size:
        found |= dict.fromkeys(phrases(folder, size))
    return [*found][:size]


def phrases(folder: Path, most: int, longest: int = 4) -> list[bytes]:
    """Runs of words of one line with the space in front, the most frequent first."""
    counts: Counter[str] = Counter()
    for line in lines(folder):
        parts = re.findall(r" ?[^\s\\]+", line)
        for n in range(1, longest + 1):
            counts.update("".join(parts[i : i + n]) for i in range(len(parts) - n + 1))
    return [phrase.encode() for phrase, _ in counts.most_common(most)]


def pieces(folder: Path, size: int) -> list[bytes]:
    """Byte-level BPE tokens of the texts, most frequent merges first."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    made.train_from_iterator(lines(folder), trainer)
    found = vocabulary(PreTrainedTokenizerFast(tokenizer_object=made)).spelled
    return [spelled for spelled in found if spelled]


def written(base: PreTrainedTokenizerFast, more: list[bytes]) -> PreTrainedTokenizerFast:
    """The tokenizer with more tokens behind its own, longest first."""
    vocab = vocabulary(base)
    table = {piece: token for token, piece in enumerate(vocab.pieces) if piece}
    for token, spelled in enumerate(more, len(vocab)):
        table[to_letters(spelled)] = token
    made = Tokenizer(models.BPE(table, []))
    made.add_special_tokens(list(base.special_tokens_map.values()))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return longest_prefix(PreTrainedTokenizerFast(tokenizer_object=made, **base.special_tokens_map))


@torch.no_grad()
def main() -> None:
    """Print a line for each size, way of making rows and way of searching."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[7000, 36829])
    parser.add_argument("--model", default=str(TINY / "model"))
    parser.add_argument("--searched", type=int, nargs="+", default=[250], help="leaves")
    parser.add_argument("--rows", nargs="+", choices=("zett", "fvt"), default=["zett", "fvt"])
    parser.add_argument("--by", nargs="+", choices=("angle", "score"), default=["angle", "score"])
    given = parser.parse_args()
    loaded = zoo.load(given.model, kind="causal-lm")
    base, model = loaded.processor, loaded.model.float()
    vocab = vocabulary(base)
    old, known = embeddings_of(model, vocab), set(vocab.spelled)
    found = [spelled for spelled in tokens(given.texts, max(given.sizes)) if spelled not in known]
    pages = (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()[:8]
    texts = [json.loads(page)["text"][:1500] for page in pages]
    makers = {"zett": Zett(hypernetwork=str(TINY / "hypernetwork")), "fvt": FVT()}
    for name in given.rows:
        rows = new_rows(makers[name], vocab, old, found).embeddings
        for size in given.sizes:
            more = found[: size - len(vocab)]
            ours, theirs = (torch.cat([a, b[: len(more)]]) for a, b in _pairs(old, rows))
            places, width = states(model, written(base, more), ours, texts)
            print(f"{name}, {len(theirs)} tokens, {width:.2f} bytes each on {len(places)} places")
            for by in given.by:
                for one in measured(theirs, places, by, given.searched):
                    print(f"  by {by}, {one}", flush=True)


def _pairs(old: Any, rows: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Old and new rows, of the input and of the output."""
    ends = [one.input if one.output is None else one.output for one in (old, rows)]
    return [(old.input, rows.input), (ends[0], ends[1])]


def states(
    model: Any, writer: PreTrainedTokenizerFast, rows: torch.Tensor, texts: list[str]
) -> tuple[torch.Tensor, float]:
    """Last states of the model at each place of the texts, and the bytes of a token."""
    found, size = [], 0
    for text in texts:
        ids = [0, *writer(text)["input_ids"]][:200]
        found.append(model.model(inputs_embeds=rows[ids][None]).last_hidden_state[0])
        size += len(writer.decode(ids[1:]).encode())
    every = torch.cat(found)
    return every, size / (len(every) - len(texts))


def measured(
    rows: torch.Tensor, places: torch.Tensor, by: str, searched: list[int]
) -> Iterator[str]:
    """How often the best token is among 20 neighbours, and what finding them takes."""
    head = torch.nn.Linear(rows.shape[1], 1, bias=False)
    head.weight = torch.nn.Parameter(rows, requires_grad=False)
    start = time.process_time()
    made: Any = NeighbourHead(head, 20, by=by)
    spent = time.process_time() - start
    many = len(made._leaves.means)
    best = torch.cat([head(part).argmax(-1) for part in places.split(16)])
    full = milliseconds(head, places[:20])
    yield f"{many} leaves of {made.index_bytes / 1e6:.0f} MB made in {spent:.0f} processor s"
    for made.searched in searched:
        held = (made.nearest(places) == best[:, None]).any(1).float().mean()
        near = milliseconds(made, places[:20])
        yield (
            f"{made.searched} of them: the best is among 20 at {100 * held:.1f}%; "
            f"{near:.1f} ms a place, all tokens {full:.1f} ms"
        )


def milliseconds(ask: Callable[[torch.Tensor], torch.Tensor], places: torch.Tensor) -> float:
    """Processor time of one place alone."""
    start = time.process_time()
    for place in places:
        ask(place[None])
    return 1000 * (time.process_time() - start) / len(places)


if __name__ == "__main__":
    main()
