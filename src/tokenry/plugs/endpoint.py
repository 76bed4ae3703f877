"""A language model behind an address that speaks OpenAI's protocol, as most servers do."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib import error, parse, request

import numpy as np
from jaxtyping import Float

from tokenry.errors import EndpointError, UsageError
from tokenry.ops.replies import read_letter, read_verdict
from tokenry.ops.verdicts import shares
from tokenry.progress import track

KEY = "TOKENRY_API_KEY"
"""The environment variable that holds the key."""

_LARGEST = 4_000_000  # bytes of an answer
_TOP = 20  # most log-probabilities of a place that the protocol gives
_WORDS = 12  # tokens in which a decision is written
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_OPTIONAL = ("logprobs", "max_tokens", "temperature")
_EDGES = " \t\n\r\"'`*_.,:;!?()[]\u2581\u0120"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        text: What was written.
        top: Log-probability of each likely token in the place of the answer; empty where the
            server offers none.
    """

    text: str
    top: tuple[tuple[str, float], ...] = ()


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirect would take the key along to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Endpoint:
    """An OpenAI-compatible endpoint as a `Referee`.

    Probabilities come from log-probabilities where the server offers them; else from what it
    wrote, so that they are 0 or 1, and NaN where the reply decides nothing. The key is read from
    the environment, and stands in no message, file or representation.

    Args:
        address: Its base with the model's name behind a #: `http://localhost:8000/v1#model`.
        key: Name of the environment variable with the key; without one none is sent.
        timeout: Seconds to wait for an answer.
        retries: How often a request is tried again after a fault that may pass.
        pause: Seconds before the first retry; doubled each time.
        workers: Requests at the same time.
        cache: A file that keeps answers, so that nothing is asked twice in another run either.

    Attributes:
        base: The address without the model.
        model: The model's name.
        name: What tells it from others: both.

    Raises:
        UsageError: If the address is none, or has no model.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = KEY,
        timeout: int | float = 60,
        retries: int = 5,
        pause: int | float = 1,
        workers: int = 4,
        cache: str | Path | None = None,
    ) -> None:
        self.base, self.model = _parts(address)
        self.name = f"{self.base}#{self.model}"
        self._key = _environment(key)
        self._timeout, self._retries, self._pause = timeout, retries, pause
        self._workers = workers
        self._without: set[str] = set()
        self._opener = request.build_opener(_NoRedirect)
        self._lock = threading.Lock()
        self._file = None if cache is None else Path(cache)
        self._kept: dict[str, Reply] = {} if self._file is None else _read(self._file)

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    def yes(self, prompts: Sequence[str]) -> Float[np.ndarray, " m"]:
        """The probability of yes, against no; NaN where a reply decides nothing."""

        def written(text: str) -> Float[np.ndarray, " 2"]:
            verdict = read_verdict(text)
            share = np.nan if verdict is None else verdict.probability
            return np.array([share, 1 - share])

        return self._decided(prompts, ("yes", "no"), written)[:, 0]

    def options(self, prompts: Sequence[str], count: int) -> Float[np.ndarray, "m c"]:
        """The probability of each of the first `count` letters; NaN where none was answered."""
        letters = "abcdefghijklmnopqrstuvwxyz"[:count]

        def written(text: str) -> Float[np.ndarray, " c"]:
            place = read_letter(text, count)
            return np.full(count, np.nan) if place is None else np.eye(count)[place]

        return self._decided(prompts, letters, written)

    def write(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """What the model answers to each prompt, at temperature 0."""
        return [reply.text.strip() for reply in self._asked(prompts, tokens, False)]

    def _decided(
        self,
        prompts: Sequence[str],
        words: Sequence[str],
        written: Callable[[str], Float[np.ndarray, "_"]],
    ) -> Float[np.ndarray, "m c"]:
        rows = []
        replies = self._asked(prompts, _WORDS, True)
        for reply in replies:
            scores = np.full((1, len(words)), -np.inf)
            for token, score in reply.top:
                if (word := token.strip(_EDGES).casefold()) in words:
                    place = words.index(word)
                    scores[0, place] = np.logaddexp(scores[0, place], score)
            known = np.isfinite(scores).any()
            rows.append(
                shares(scores, [[i] for i in range(len(words))])[0]
                if known
                else written(reply.text)
            )
        if replies and not any(reply.top for reply in replies):
            warnings.warn(
                f"{self!r} offers no log-probabilities; what it wrote counts as 0 or 1.",
                UserWarning,
                stacklevel=3,
            )
        return np.array(rows).reshape(len(prompts), len(words))

    def _asked(self, prompts: Sequence[str], tokens: int, scored: bool) -> list[Reply]:
        distinct = list(dict.fromkeys(prompts))

        def one(prompt: str) -> Reply:
            return self._ask(prompt, tokens, scored)

        with ThreadPoolExecutor(self._workers) as pool:
            found = pool.map(one, distinct)
            bar = track(found, "endpoint", total=len(distinct))
            replies = dict(zip(distinct, bar, strict=True))
        return [replies[prompt] for prompt in prompts]

    def _ask(self, prompt: str, tokens: int, scored: bool) -> Reply:
        parts = [self.base, self.model, prompt, tokens, scored]
        name = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
        if name in self._kept:
            return self._kept[name]
        reply = self._sent(prompt, tokens, scored)
        with self._lock:
            self._kept[name] = reply
            if self._file is not None:
                line = json.dumps({"key": name, "text": reply.text, "top": reply.top})
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        return reply

    def _body(self, prompt: str, tokens: int, scored: bool) -> dict[str, Any]:
        """A request with what this server is not known to refuse."""
        length = "max_completion_tokens" if "max_tokens" in self._without else "max_tokens"
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            length: tokens,
        }
        if "temperature" not in self._without:
            body["temperature"] = 0
        if scored and "logprobs" not in self._without:
            body |= {"logprobs": True, "top_logprobs": _TOP}
        return body

    def _sent(self, prompt: str, tokens: int, scored: bool) -> Reply:
        """The reply to a prompt, after as many tries as it may take."""
        tried = 0
        while True:
            body, wait, passing = self._body(prompt, tokens, scored), 0.0, True
            try:
                return _reply(self._post(body))
            except error.HTTPError as fault:
                with fault:
                    reason = self._hidden(fault.read(_LARGEST).decode(errors="replace"))
                if fault.code in (400, 422) and self._learned(body, reason):
                    continue
                passing, wait = fault.code in _PASSING, _seconds(fault.headers.get("Retry-After"))
                reason = f"status {fault.code}, {reason}"
            except (OSError, http.client.HTTPException, ValueError) as fault:
                reason = self._hidden(f"{type(fault).__name__}: {fault}")
            tried += 1
            if tried > self._retries or not passing:
                raise EndpointError(
                    f"{self!r} gave no answer, tried {tried} times: {reason[:300]!r}. Check the "
                    "address, the model's name, and the key in the environment."
                )
            time.sleep(max(wait, self._pause * 2 ** (tried - 1)))

    def _post(self, body: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps(body).encode()
        # Only http and https come through `_parts`.
        asked = request.Request(f"{self.base}/chat/completions", data, headers)  # noqa: S310
        with self._opener.open(asked, timeout=self._timeout) as answer:
            content = answer.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        return json.loads(content)

    def _learned(self, body: Mapping[str, Any], reason: str) -> bool:
        """Whether a refused request may pass without a field that the server does not take."""
        named = [field for field in _OPTIONAL if field in body and field in reason]
        if not named and "logprobs" in body:
            named = ["logprobs"]
        with self._lock:
            self._without.update(named[:1])
        return bool(named)

    def _hidden(self, text: str) -> str:
        """A text of the server or the system without the key."""
        return " ".join((text.replace(self._key, "***") if self._key else text).split())


def _parts(address: str) -> tuple[str, str]:
    """The base and the model in an address."""
    found = parse.urlsplit(address)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise UsageError(
            f"endpoint: {address!r} is no address; write one such as "
            "http://localhost:8000/v1#model."
        )
    if found.username or found.password:
        raise UsageError(
            f"endpoint: the address of {found.hostname} holds a password, which messages would "
            f"show; put the key into the environment variable {KEY}."
        )
    if not found.fragment:
        raise UsageError(f"endpoint: {address!r} names no model; write {address}#model.")
    base = parse.urlunsplit((found.scheme, found.netloc, found.path.rstrip("/"), found.query, ""))
    return base, parse.unquote(found.fragment)


def _environment(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if any(not letter.isprintable() or letter.isspace() for letter in key):
        raise UsageError(f"endpoint: the key in {name} holds spaces or control characters.")
    return key


def _reply(answer: Any) -> Reply:
    """What matters of an answer.

    Raises:
        ValueError: If it is not what the protocol says.
    """
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        places = (choice.get("logprobs") or {}).get("content") or []
        spoken: dict[str, Any] = next((one for one in places if one["token"].strip(_EDGES)), {})
        top = [(str(one["token"]), float(one["logprob"])) for one in spoken.get("top_logprobs", ())]
    except (KeyError, IndexError, TypeError, AttributeError) as fault:
        raise ValueError(f"the answer has no {fault}") from fault
    return Reply(str(text), tuple(top))


def _seconds(header: str | None) -> float:
    """What a server asks to wait; dates are not read, and nobody waits for more than a minute."""
    try:
        return min(max(float(header or 0), 0.0), 60.0)
    except ValueError:
        return 0.0


def _read(path: Path) -> dict[str, Reply]:
    """Answers that were kept; a line that was cut off is left out."""
    found: dict[str, Reply] = {}
    if not path.exists():
        return found
    content = path.read_text(encoding="utf-8", errors="replace")
    if content and not content.endswith("\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    for line in content.splitlines():
        try:
            held = json.loads(line)
            top = tuple((str(token), float(score)) for token, score in held["top"])
            found[held["key"]] = Reply(held["text"], top)
        except (ValueError, KeyError, TypeError):
            continue
    return found
