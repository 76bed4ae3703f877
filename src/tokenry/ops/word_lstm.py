"""A small LSTM over words that says yes or no: what recurrent text classifiers were."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tokenry.ops.padding import padded

UNKNOWN, PADDING = 1, 0


class WordLstm(nn.Module):
    """Word vectors, a bidirectional LSTM, the largest state of each channel, one logit."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(words, width, padding_idx=PADDING)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 1)

    def forward(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, " b"]:
        """One logit for each text; padding takes no part in the maximum."""
        states, _ = self.lstm(self.rows(ids))
        states = states.masked_fill((ids == PADDING)[..., None], -1.0)
        found: Float[Tensor, " b"] = self.head(states.amax(1)).squeeze(1)
        return found


def known_words(texts: Sequence[str], most: int) -> dict[str, int]:
    """Numbers of the most frequent words, from 2 on.

    >>> known_words(["b a b", "b c a"], 2)
    {'b': 2, 'a': 3}
    """
    counts = Counter(word for text in texts for word in _words(text))
    return {word: at + 2 for at, (word, _) in enumerate(counts.most_common(most))}


def numbered(texts: Sequence[str], known: dict[str, int], longest: int) -> Int[Tensor, "b n"]:
    """Texts as numbers of words, padded on the right; head and tail of what is too long.

    >>> numbered(["b x", "a a b b"], {"b": 2, "a": 3}, 3).tolist()
    [[2, 1, 0], [3, 2, 2]]
    """
    rows = []
    for text in texts:
        ids = [known.get(word, UNKNOWN) for word in _words(text)] or [UNKNOWN]
        head = longest // 2
        rows.append(ids if len(ids) <= longest else ids[:head] + ids[head - longest :])
    return padded(rows, PADDING)[0]


def fitted(
    ids: Int[Tensor, "b n"],
    labels: Float[Tensor, " b"],
    words: int,
    width: int,
    epochs: int,
    seed: int,
) -> WordLstm:
    """An LSTM trained on texts; true ones weigh as much as all others together."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WordLstm(words, width)
        steps = torch.optim.Adam(model.parameters(), 3e-3)
        rarity = (len(labels) - labels.sum()) / labels.sum()
        loss = nn.BCEWithLogitsLoss(pos_weight=rarity)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(ids)), 64):
                steps.zero_grad()
                loss(model(ids[rows]), labels[rows]).backward()
                steps.step()
    return model.eval()


@torch.no_grad()
def logits(model: WordLstm, ids: Int[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """One for each text, in parts that fit into memory."""
    return torch.cat([model(part) for part in torch.split(ids, 256)])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
