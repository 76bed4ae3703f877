"""A causal language model read byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.method import ByteReader
from tokenry.ops.byte_trie import Node
from tokenry.ops.covers import Answer, Cover, Opening, at_border, scales
from tokenry.plugs.branches import Branch, BranchingCache
from tokenry.plugs.byte_text import ByteText, ImpossibleTextError, as_bytes
from tokenry.plugs.generate import end_of_text
from tokenry.plugs.past import CACHE
from tokenry.plugs.spelling import Context, Spelling

_TOKENS = 6  # before a token that is tested
_WINDOW = 128  # bytes that are looked at again before the settled part of a text moves on


@dataclass(slots=True)
class ByteTrace:
    """What reading has cost so far, and what was cut.

    Attributes:
        bytes: Times that the next byte was asked for.
        passes: Passes of the model.
        tokens: Tokens that it ran on.
        tests: Tokens that were tested for canonicality.
        weight: Summed share of the covers that the model answered for.
        lost: Of that, what it gave to tokens that do not follow in canonical text.
    """

    bytes: int = 0
    passes: int = 0
    tokens: int = 0
    tests: int = 0
    weight: float = 0.0
    lost: float = 0.0

    @property
    def cut(self) -> float:
        """The share of the model's probability that was cut as non-canonical."""
        return self.lost / self.weight if self.weight else 0.0


class ByteLM(ByteText):
    """Next-byte probabilities of a causal language model, after any prefix of bytes.

    The model is left alone. What was read is kept: a text that goes on from the last one costs
    what is new, and another one shares the beginning.

    Args:
        model: A causal language model with full attention in every layer.
        tokenizer: Its fast tokenizer: byte-level BPE, or pieces with byte fallback.
        method: Name of a rule, or a configured instance.
        start: Token ids in front of every text, such as a chat's turns so far, or the marks and
            the suffix of a fill-in-the-middle prompt: special tokens are ids here, and in a text
            just letters. None for what the tokenizer puts in front; if it puts nothing there, its
            token for the beginning of a text, else for the end of one.
        **settings: Settings of the rule, when it is given by name: `tolerance=0`.

    Raises:
        UnsupportedModelError: If branches of a text cannot be kept apart in this model.
        UsageError: If the tokenizer does not spell every byte, or nothing can stand in front.
        UnknownNameError: If no rule has this name.

    Attributes:
        method: The rule.
        start: The ids in front of every text.
        trace: What reading has cost so far.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        method: str | ByteReader = "byte-exact",
        *,
        start: Sequence[int] | Tensor | None = None,
        **settings: Any,
    ) -> None:
        self.method = catalog.configured(method, ByteReader, "ByteLM", **settings)
        self._cache = BranchingCache(model, "ByteLM")
        self._model = model
        size = model.get_input_embeddings().num_embeddings
        eos = {tokenizer.eos_token_id} - {None}
        self._ends = torch.tensor(sorted(i for i in end_of_text(model) | eos if i < size))
        self._spelling = Spelling(tokenizer, size, frozenset(self._ends.tolist()))
        self._trie = self._spelling.trie
        self.start = self._checked(self._spelling.start if start is None else start, size)
        self.trace = ByteTrace()
        self._text: bytes | None = None

    def _checked(self, start: Sequence[int] | Tensor, size: int) -> tuple[int, ...]:
        ids = tuple(int(token) for token in torch.as_tensor(start).flatten())
        wrong = [token for token in ids if not 0 <= token < size]
        if wrong or not ids:
            raise UsageError(
                f"ByteLM: start={list(ids)[:8]} "
                + (f"holds {wrong[0]}, which is no id below {size}." if wrong else "is empty. ")
                + "The first token of a text needs something before it, and this tokenizer has no "
                "token that begins or ends a text; give ids that stand in front."
            )
        return ids

    def next(self, prefix: bytes | str) -> Float[Tensor, " 257"]:
        """Log-probabilities of what follows a text: each byte, and at place 256 its end.

        Args:
            prefix: The text; it may be empty, and end in the middle of a character.

        Raises:
            UsageError: If the prefix is not the beginning of any text in UTF-8, the tokenizer
                never writes it, or the model gives it no probability.
        """
        self._read(as_bytes(prefix))
        self.trace.bytes += 1
        found = self.method.following(self._open, self._trie, len(self._text or b""))
        if np.isnan(found).any():
            raise ImpossibleTextError(
                f"ByteLM: the model gives {as_bytes(prefix)[-40:]!r} no probability, and nothing "
                "follows it; give another text."
            )
        return torch.from_numpy(found)

    def generate(self, prompt: bytes | str, **kwargs: Any) -> bytes:
        """Go on with a text that may end inside a token, with `model.generate`.

        Up to the next border between tokens the text is read as bytes; from there on the model
        goes on as usual. Greedily, the likeliest byte is taken until most of the probability has
        a border there. When `do_sample` is on, one of the covers of the prompt is drawn with the
        probability that it has, so that the text as a whole is drawn from the model's own
        distribution of texts that begin with the prompt.

        Args:
            prompt: The text.
            **kwargs: What `model.generate` takes. `max_new_tokens` counts from the border on.

        Returns:
            What is new.

        Raises:
            UsageError: If several continuations are asked for, or `next` refuses the prompt.
        """
        self._refuse_many(kwargs)
        text = as_bytes(prompt)
        setting = kwargs.get("generation_config") or self._model.generation_config
        self._read(text)
        if kwargs.get("do_sample", setting.do_sample):
            cover, token = self._drawn(kwargs.get("temperature", setting.temperature) or 1.0)
        else:
            cover, token = self._likeliest(text)
        branch = self._branch(cover)
        past = self._cache.past(branch)
        ids = [*branch.tokens, *token]
        if not token:
            past.crop(-1)  # generate wants a token to begin with
        row = torch.tensor([ids], device=self._model.device)
        mask = torch.ones_like(row)
        written = self._model.generate(
            input_ids=row, attention_mask=mask, **{CACHE: past}, **kwargs
        )
        written = getattr(written, "sequences", written)[0, len(self.start) :].tolist()
        return self._spelling.spell(written)[len(self._spelling.lead + text) :]

    def _refuse_many(self, kwargs: dict[str, Any]) -> None:
        setting = kwargs.get("generation_config") or self._model.generation_config
        for name in ("num_return_sequences", "num_beams"):
            many = kwargs.get(name, getattr(setting, name)) or 1
            if many > 1:
                raise UsageError(
                    f"ByteLM: {name}={many}; generate goes on in one way only. Call it again for "
                    "another draw."
                )

    def _drawn(self, temperature: float) -> tuple[Cover, list[int]]:
        """A cover of the text, drawn: one that spells it, or one that spells less and a token."""
        units, length = scales(self._open), len(self._text or b"")
        choices: list[tuple[Cover, int]] = []
        masses: list[float] = []
        for unit, one in zip(units, self._open, strict=True):
            answer = one.cover.answer
            if answer is None:
                continue
            here = unit * answer.mass[one.node.rows]
            if one.cover.end == length:
                choices.append((one.cover, -1))
                masses.append(float(here.sum() + unit * answer.stop))
            else:
                choices += [(one.cover, row) for row in range(one.node.start, one.node.stop)]
                masses += here.tolist()
        shares = (torch.tensor(masses, dtype=torch.float64).log() / temperature).softmax(-1)
        cover, row = choices[int(torch.multinomial(shares, 1))]
        return cover, [] if row < 0 else [int(self._trie.ids[row])]

    def _likeliest(self, text: bytes) -> tuple[Cover, list[int]]:
        """The heaviest cover at the next place where most covers have a border."""
        share, enough = at_border(self._open, len(self._text or b"")), 0.5
        while share < enough or not share:
            text += bytes([int(self.next(text)[:256].argmax())])
            self._read(text)
            share = at_border(self._open, len(self._text or b""))
            enough -= 0.5 / self._trie.longest  # so that a run of one letter has an end
        here = [one for one in self._open if one.cover.end == len(self._text or b"")]
        return max(here, key=lambda one: one.cover.weight).cover, []

    def _read(self, text: bytes) -> None:
        """Make the openings those of a text."""
        whole = self._spelling.lead + text
        known = self._text
        try:
            if known is None or not whole.startswith(known) or len(whole) > len(known) + _WINDOW:
                self._begin(whole)
            for byte in whole[len(self._text or b"") :]:
                self._step(byte)
            self._settle()
            if len(whole) - self._from > 2 * _WINDOW:
                self._move_on()
        except BaseException as error:
            self._text = None
            if not isinstance(error, ImpossibleTextError):
                self._cache.clear()
            raise

    def _begin(self, whole: bytes) -> None:
        """Encode the settled part of a text."""
        self._from, place, ids = self._spelling.settled(whole)
        self._trunk, scores = self._cache.feed([*self.start, *ids])
        self._text = whole[:place]
        self._floor = Cover(None, -1, place)
        self._floor.answer = self._answer(self._floor, scores)
        self._open = [Opening(self._floor, self._trie.root)]
        self._fresh = [self._floor]

    def _step(self, byte: int) -> None:
        """The openings of the text with one byte more."""
        self._text = (self._text or b"") + bytes([byte])
        moved: list[Opening] = []
        for one in self._open:
            node = self._trie.child(one.node, byte)
            ends = np.array(self._trie.ends(node) if node else [], dtype=np.int64)
            rest = Node(node.start + len(ends), node.stop, node.depth)
            moved += [Opening(one.cover, rest)] if rest else []
            if not len(ends):
                continue
            for row in ends[self._spelling.follow(self._context(one.cover), ends)]:
                child = Cover(one.cover, int(row), len(self._text))
                self._fresh.append(child)
                moved.append(Opening(child, self._trie.root))
        if not moved:
            raise ImpossibleTextError(
                f"ByteLM: no text that its tokenizer writes begins with {self._text[-40:]!r}; the "
                "tokenizer changes it, or its bytes are no UTF-8."
            )
        self._open = moved

    def _settle(self) -> None:
        """Ask the model, and test tokens, as far as the rule wants it."""
        self._weigh()
        while covers := self.method.asked(self._open):
            scores = self._cache.ask([self._branch(cover) for cover in covers])
            for cover, row in zip(covers, scores, strict=True):
                cover.answer = self._answer(cover, row)
            self._weigh()
            self._test(covers)
            self._weigh()
            self._note(covers)
        self._test([])
        self._weigh()
        self._fresh = [c for c in self._fresh if c.parent and c.parent.answer is None]
        self._cache.keep(self._branch(one.cover) for one in self._open)
        self.trace.passes, self.trace.tokens = self._cache.passes, self._cache.read

    def _weigh(self) -> None:
        for cover in self._fresh:
            cover.weigh()

    def _answer(self, cover: Cover, scores: Float[Tensor, " v"]) -> Answer:
        shares = scores.exp()
        stop = float(shares[self._ends].sum())
        mass = shares.numpy()[self._trie.ids]
        answer = Answer(mass, stop, np.zeros(len(mass), dtype=bool), 1 - stop - float(mass.sum()))
        answer.end(not stop or self._spelling.ends(self._context(cover)))
        return answer

    def _test(self, fresh: Sequence[Cover]) -> None:
        for cover, rows in self.method.tested(self._open, fresh):
            if cover.answer is not None:
                cover.answer.note(rows, self._spelling.follow(self._context(cover), rows))
            self.trace.tests += len(rows)

    def _note(self, covers: Sequence[Cover]) -> None:
        """Keep account of what was cut, each cover for its share of the text's weight."""
        units = scales(self._open)
        for unit, one in zip(units, self._open, strict=True):
            if one.cover.answer is not None and one.cover in covers:
                share = float(unit / units.sum())
                self.trace.weight += share
                self.trace.lost += share * one.cover.answer.cut

    def _context(self, cover: Cover) -> Context:
        """As much of what a cover spells as matters for what may follow."""
        text, start, tokens = self._text or b"", self._from, self._tokens(cover)
        above, count = cover, 0
        while above.parent is not None and above is not self._floor:
            above, count = above.parent, count + 1
            inside = above.end < len(text) and (text[above.end] & 0xC0) == 0x80
            if count >= _TOKENS and not inside:
                start, tokens = above.end, tokens[-_TOKENS // 2 :]
                break
        return Context(text[start : cover.end], 0 if start else len(self._spelling.lead), tokens)

    def _tokens(self, cover: Cover) -> tuple[int, ...]:
        return tuple(int(self._trie.ids[row]) for row in cover.path(self._floor))

    def _branch(self, cover: Cover) -> Branch:
        branch = self._trunk
        for token in self._tokens(cover):
            branch = branch.child(token)
        return branch

    def _move_on(self) -> None:
        """Call more of the text settled."""
        window, place, _ = self._spelling.settled(self._text or b"")
        chains = []
        for one in self._open:
            cover: Cover | None = one.cover
            while cover is not None and cover.end > place:
                cover = cover.parent
            chains.append(cover)
        floor = chains[0]
        if floor is None or floor.end != place or any(cover is not floor for cover in chains):
            return
        self._trunk = self._branch(floor)
        floor.parent, self._floor, self._from = None, floor, window
