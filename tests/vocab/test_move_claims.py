"""What the papers on moves claim, on models that learned a language in seconds.

A small model learns English from the shipped manual pages. The other language is English with
other letters in words of small letters, so that every word has one translation.
"""

from __future__ import annotations

import copy
import re
from functools import cache
from random import Random

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenry.data.text_loader import load_text
from tokenry.plugs.bits import bits_per_byte
from tokenry.plugs.moving import transplant
from tokenry.plugs.retraining import train_embeddings
from tokenry.plugs.wordvectors import learn_words

pytestmark = pytest.mark.slow

SMALL = re.compile(r"[a-z]{3,}")


@cache
def english():
    """The shipped manual pages: most to learn from, and the beginnings of the others."""
    pages = sorted({one.text for one in load_text("manpages").examples})
    Random(0).shuffle(pages)
    return tuple(pages[12:]), tuple(page[:1500] for page in pages[:12])


def cipher(text):
    """The same text in the other language: words of small letters are written anew."""
    vowels, others = "aeiouy", "bcdfghjklmnpqrstvwxz"
    turned = vowels[2:] + vowels[:2] + others[7:] + others[:7]
    table = str.maketrans(vowels + others, turned)
    return SMALL.sub(lambda found: found[0].translate(table), text)


def tokenizer(texts, size):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", bos_token="<end>")


@cache
def trained(steps=150, size=1500, length=64):
    """A model trained on the pages for seconds, with its tokenizer."""
    texts, _ = english()
    mine = tokenizer(texts, size)
    ids = torch.tensor([t for text in texts for t in mine(text)["input_ids"]])
    config = LlamaConfig(
        vocab_size=len(mine), hidden_size=96, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = LlamaForCausalLM(config)
    source = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(made.parameters(), lr=4e-3)
    for step in range(steps):
        starts = torch.randint(0, len(ids) - length, (16,), generator=source)
        batch = torch.stack([ids[s : s + length] for s in starts])
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min((step + 1) / 30, 1 - step / steps)
        optimizer.zero_grad()
        made(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
    return made.eval(), mine


@cache
def other():
    """The other language: texts to learn from, texts to measure on, tokenizer, dictionary."""
    texts, held = ([cipher(text) for text in part] for part in english())
    known = sorted({word for text in english()[0] for word in SMALL.findall(text)})
    pairs = [(word, cipher(word)) for word in known]
    return texts, held, tokenizer(texts, 1500), pairs


def lines(texts):
    return [line for text in texts for line in text.split("\n") if line]


@cache
def vectors():
    """Word vectors of both languages."""
    settings = {"width": 50, "epochs": 20}
    return [
        learn_words([re.findall(r"\w+|[^\w\s]", line) for line in lines(texts)], **settings)
        for texts in (english()[0], other()[0])
    ]


def moved(method, dictionary=()):
    model, mine = trained()
    texts, _, new, _ = other()
    old_words, new_words = vectors()
    given = {"source_words": old_words, "target_words": new_words} if "wechsel" in method else {}
    return transplant(model, mine, new, method, texts=lines(texts), dictionary=dictionary, **given)


def bits(one):
    return bits_per_byte(one.model, one.tokenizer, other()[1]).per_byte


def test_focus_is_ahead_before_any_training():
    pairs = other()[3]
    focus, by_words = bits(moved("focus")), bits(moved("wechsel(by=words)", pairs))
    mean, random = bits(moved("mean-rows")), bits(moved("random-rows"))
    assert focus + 0.05 < by_words < mean - 0.1
    assert by_words < random - 0.1


def test_wechsel_leads_and_needs_its_dictionary(tmp_path):
    texts, _, new, pairs = other()
    shuffled = [translation for _, translation in pairs]
    Random(0).shuffle(shuffled)
    wrong = list(zip((word for word, _ in pairs), shuffled, strict=True))
    ours, random, control = moved("wechsel", pairs), moved("random-rows"), moved("wechsel", wrong)
    start = bits(random)
    assert bits(ours) < start - 0.15
    assert bits(control) > start - 0.1
    losses = [
        train_embeddings(
            copy.deepcopy(one.model), new, texts, steps=80, length=64, batch_size=16,
            save_every=80, folder=tmp_path / one.method.card.slug, progress=False,
        ).losses
        for one in (ours, random)
    ]  # fmt: skip
    for checkpoint in range(0, 80, 20):
        led, trailed = (sum(run[checkpoint : checkpoint + 20]) / 20 for run in losses)
        assert led < trailed - 0.1


def test_fvt_keeps_more_than_copies_of_shared_tokens(smollm2):
    """The paper's case: a smaller vocabulary of the domain's own, for a large model."""
    texts, held = english()
    new = tokenizer(texts, 6000)
    found = {}
    for method in ("fvt", "lexical-copy"):
        one = transplant(
            smollm2.model, smollm2.processor, new, method, special={"<end>": "<|im_end|>"}
        )
        parts = [text[200:700] for text in held[:4]]
        found[method] = bits_per_byte(one.model, one.tokenizer, parts).per_byte
    assert found["fvt"] < found["lexical-copy"] - 0.3
