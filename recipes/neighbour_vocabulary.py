"""Measure how often an index over a very large vocabulary holds the token that the full head takes.

The model is the small one of `recipes/zett_tiny.py`; its tokenizer grows by merges that are learned
from a folder of texts, rows of the new tokens are a hypernetwork's or FVT's, and texts are written
with the longest tokens that fit.

    zcat /usr/share/man/man1/*.gz > pages/man1.txt
    python recipes/neighbour_vocabulary.py pages --sizes 7000 50000 150000
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

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
    """Print a line for each size and way of making rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[7000, 50000, 150000])
    parser.add_argument("--searched", type=int, default=200)
    given = parser.parse_args()
    base = AutoTokenizer.from_pretrained(TINY / "model")
    model = AutoModelForCausalLM.from_pretrained(TINY / "model", dtype=torch.float32).eval()
    vocab = vocabulary(base)
    old, known = embeddings_of(model, vocab), set(vocab.spelled)
    found = [spelled for spelled in pieces(given.texts, max(given.sizes)) if spelled not in known]
    pages = (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()[:8]
    texts = [json.loads(page)["text"][:1500] for page in pages]
    for method in (Zett(hypernetwork=str(TINY / "hypernetwork")), FVT()):
        rows = new_rows(method, vocab, old, found).embeddings
        for size in given.sizes:
            more = found[: size - len(vocab)]
            writer, n = written(base, more), len(more)
            ours, theirs = (torch.cat([a, b[:n]]) for a, b in _pairs(old, rows))
            places, size = states(model, writer, ours, texts)
            for by in ("angle", "score"):
                share, seconds = recall(theirs, places, by, given.searched)
                print(
                    f"{method.card.slug}, {len(theirs)} tokens, by {by}: the best is among 20 at "
                    f"{100 * share:.1f}% of {len(places)} places; {size:.2f} bytes a token, index "
                    f"in {seconds:.0f} s",
                    flush=True,
                )


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


def recall(rows: torch.Tensor, places: torch.Tensor, by: str, searched: int) -> tuple[float, float]:
    """How often the best token is among the neighbours, and seconds to build the index."""
    head = torch.nn.Linear(rows.shape[1], len(rows), bias=False)
    head.weight.copy_(rows)
    start = time.perf_counter()
    made: Any = NeighbourHead(head, 20, searched, by)
    seconds = time.perf_counter() - start
    best = torch.cat([head(part).argmax(-1) for part in places.split(64)])
    held = (made.nearest(places) == best[:, None]).any(1)
    return float(held.float().mean()), seconds


if __name__ == "__main__":
    main()
