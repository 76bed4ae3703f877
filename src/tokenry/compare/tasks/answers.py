"""Question answering with exact answers: what the model writes is looked through for the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tokenry.compare.tasks.base import Pass, Scores, Subject, whole_number
from tokenry.compare.tasks.text import Prompt, TextTask, encode
from tokenry.errors import UsageError
from tokenry.ops.answers import contains, exact_match, f1, squad_words, verbatim_words

ANSWER_TOKENS = 32
INSTRUCTION = "Answer from the text above, with nothing but the answer."
_PLAIN = re.compile(r"\w+(?:['\u2019-]\w+)*")


class Answers(TextTask):
    """Whether the right answer stands in what the model writes about a text.

    The prompt is the text, an instruction and the question, in the tokenizer's chat template when
    it has one; the model writes greedily. The answer counts when it stands in the reply as
    consecutive words, whatever case, punctuation and articles; an answer that is more than plain
    words, such as an option or a path, counts letter for letter. Secondary scores are `exact`,
    whether the reply is nothing else, and `f1`, the words in common.

    Args:
        query: "aware" or "free"; see `TextTask`.
        max_tokens: Most tokens of the text; questions about longer ones are left out, since a text
            that is cut may lack the answer.
        answer_tokens: Most tokens of a reply.

    Raises:
        UsageError: If one is out of range.
    """

    slug = "answers"
    title = "Right answers"
    metric = "right answers"
    binary = True
    explanation = (
        "Whether the right answer to a question about a long text stands in what the model writes. "
        "Query-aware: the cache is cut when text and question were read, so that a method can look "
        "at the question. Query-free: the text is read and the cache cut before the question comes."
    )

    def __init__(
        self,
        query: str | None = None,
        max_tokens: int | None = None,
        answer_tokens: int = ANSWER_TOKENS,
    ) -> None:
        super().__init__(query, max_tokens)
        whole_number(self.slug, "answer_tokens", answer_tokens)
        self.answer_tokens = answer_tokens
        self._tokenizer: Any = None

    @property
    def after(self) -> int:
        """Most tokens of a reply."""
        return self.answer_tokens

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Check that there are questions with answers, and make the prompts.

        Raises:
            UsageError: If there are none.
        """
        if not any(e.question and e.answers for e in examples):
            raise UsageError(
                f"{self.slug}: the data has no questions with answers; give a table with the "
                "columns text, question and answers, or take task='lm-agreement', which needs none."
            )
        self._tokenizer = subject.processor
        super().prepare(subject, examples)

    def prompt(self, tokenizer: Any, example: Any, room: int) -> Prompt | str:
        """Text and question, cut between them or before the last token."""
        if not (example.question and example.answers):
            return "has no question with an answer"
        chat = bool(getattr(tokenizer, "chat_template", None))
        before, rest = _turns(tokenizer, example, chat)
        head, left = encode(tokenizer, before, special=not chat)
        tail, right = encode(tokenizer, rest, special=False)
        if len(head) > room:
            return f"has {len(head)} tokens, more than max_tokens={room}"
        if self.query == "aware":
            whole = head + tail
            head, tail = whole[:-1], whole[-1:]
        return Prompt(head, tail, [], left + right)

    def replies(self, seen: Pass) -> list[str]:
        """What the model wrote, up to its end, as text."""
        found = []
        for row in seen.outputs.tokens.tolist():
            stop = next((i for i, token in enumerate(row) if token in self._ends), len(row))
            text = self._tokenizer.decode(row[:stop], skip_special_tokens=True)
            found.append(text.strip())
        if not getattr(self._tokenizer, "chat_template", None):
            # A model that was not taught to stop goes on with questions of its own.
            found = [text.partition("\n")[0] for text in found]
        return found

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """1 where the answer stands in the reply, else 0."""
        right, exact, common = [], [], []
        for reply, example in zip(self.replies(seen), examples, strict=True):
            words = squad_words if all(map(_is_plain, example.answers)) else verbatim_words
            whole = (example.answer_prefix or "") + reply
            right.append(float(any(contains(t, example.answers, words) for t in (reply, whole))))
            exact.append(float(exact_match(reply, example.answers, words)))
            common.append(f1(reply, example.answers, words))
        return Scores(right, {"exact": exact, "f1": common})


def _is_plain(answer: str) -> bool:
    """Whether an answer is words that mean the same in any case, such as no option or path is."""
    words = verbatim_words(answer)
    return bool(squad_words(answer)) and all(_PLAIN.fullmatch(word) for word in words)


def _turns(tokenizer: Any, example: Any, chat: bool) -> tuple[str, str]:
    """The prompt up to the end of the text, and the rest of it."""
    text, prefix = example.text.strip(), example.answer_prefix or ""
    ask = f"\n\n{INSTRUCTION}\nQuestion: {example.question}"
    if not chat:
        return text, f"{ask}\nAnswer: {prefix}".rstrip()
    turn = [{"role": "user", "content": text + ask}]
    whole = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    before, found, rest = whole.partition(text)
    if not found:
        raise UsageError(
            "answers: the tokenizer's chat template changes the text of a message; set "
            "tokenizer.chat_template to one that does not, or to None."
        )
    return before + text, rest + prefix
