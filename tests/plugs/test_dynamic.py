"""Batches with tokens of their own on real architectures."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.dynamic import DynamicCollator, RowCache
from tokenry.plugs.extension import freeze, longest_prefix
from tokenry.plugs.moving import embeddings_of
from tokenry.plugs.neighbours import NeighbourHead, neighbour_head
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import FVT, DynamicTokenization

TEXTS = (
    "the tokens of a text are merged where they are frequent in the batch of texts",
    "a batch of texts has tokens of its own",
    "Übergrößenträger tragen Übergrößen",
)


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A </s> $B", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=280, num_attention_heads=2, num_labels=3, **SIZES)
    return BertForSequenceClassification(config).eval()


def llama(tied=False):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=280,
        num_attention_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.3,
        **SIZES,
    )
    return LlamaForCausalLM(config).eval()


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=280, n_embd=16, n_layer=2, n_head=2, n_positions=128, bos_token_id=0,
        eos_token_id=1, pad_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@torch.no_grad()
def test_without_merges_an_encoder_says_what_it_said(tokenizer, bert):
    collator = DynamicCollator(bert, tokenizer, merges=0)
    batch = collator([dict(tokenizer(text)) for text in TEXTS])
    plain = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    assert torch.equal(batch["attention_mask"], plain["attention_mask"])
    assert torch.equal(bert(**batch).logits, bert(**plain).logits)


@pytest.mark.parametrize("make", [llama, gpt2])
@torch.no_grad()
def test_without_merges_a_decoder_writes_what_it_wrote(tokenizer, make):
    model = make()
    batch = DynamicCollator(model, tokenizer, merges=0)([dict(tokenizer(text)) for text in TEXTS])
    plain = tokenizer(list(TEXTS), padding=True, padding_side="left", return_tensors="pt")
    plain.pop("token_type_ids", None)
    positions = (plain["attention_mask"].cumsum(1) - 1).clamp(min=0)
    said = model(**plain, position_ids=positions).logits
    real = plain["attention_mask"].bool()
    assert torch.equal(model(**batch).logits[real], said[real])
    written = model.generate(**plain, max_new_tokens=6, do_sample=False)
    again = model.generate(**batch, max_new_tokens=6, do_sample=False)
    assert torch.equal(again, written[:, plain["input_ids"].shape[1] :])


@torch.no_grad()
def test_a_merged_token_reads_the_mean_of_its_parts(tokenizer, bert):
    collator = DynamicCollator(bert, tokenizer, merges=5)
    features = [dict(tokenizer(text)) for text in TEXTS]
    merged = collator.merge(features)
    batch = collator.embed(merged)
    table, vocab = bert.get_input_embeddings().weight, vocabulary(tokenizer)
    assert merged.tokens
    for row, text in enumerate(merged.sequences):
        for column, token in enumerate(text):
            new = token >= len(vocab)
            parts = vocab.scribe.write(merged.tokens[token - len(vocab)]) if new else [token]
            wanted = torch.stack([table[part] for part in parts]).mean(0)
            assert torch.allclose(batch["inputs_embeds"][row, column], wanted, atol=1e-6)
    assert batch["attention_mask"].sum().item() == merged.lengths[-1] < merged.lengths[0]


def test_what_tokens_have_follows_their_first_part(tokenizer, bert):
    torch.manual_seed(0)
    model = BertForTokenClassification(bert.config)
    features = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        features.append({"input_ids": ids, "labels": [place % 3 for place in range(len(ids))]})
    collator = DynamicCollator(model, tokenizer, merges=8)
    merged, batch = collator.merge(features), collator(features)
    for row, starts in enumerate(merged.starts):
        wanted = [start % 3 for start in starts]
        assert batch["labels"][row].tolist()[: len(wanted)] == wanted
        assert set(batch["labels"][row].tolist()[len(wanted) :]) <= {-100}
    assert model(**batch).loss.isfinite()


def test_one_label_of_a_text_stays_and_padding_goes(tokenizer, bert):
    plain = tokenizer(list(TEXTS), padding=True)
    features = [
        {"input_ids": ids, "attention_mask": mask, "labels": n}
        for n, (ids, mask) in enumerate(
            zip(plain["input_ids"], plain["attention_mask"], strict=True)
        )
    ]
    batch = DynamicCollator(bert, tokenizer, merges=4)(features)
    bare = [dict(tokenizer(text)) for text in TEXTS]
    alone = DynamicCollator(bert, tokenizer, merges=4)(bare)
    assert torch.equal(batch["inputs_embeds"], alone["inputs_embeds"])
    assert batch["labels"].tolist() == [0, 1, 2]


def test_the_cache_forgets_what_was_needed_longest_ago(tokenizer, bert):
    vocab = vocabulary(tokenizer)
    cache = RowCache(FVT(), vocab, embeddings_of(bert, vocab), 2)
    first = cache([b"tokens of", b"of a"])
    cache([b"tokens of", b"texts has"])
    assert (len(cache), cache.made) == (2, 3)
    assert torch.equal(cache([b"tokens of"])[0], first[0])
    assert cache.made == 3
    assert torch.equal(cache([b"of a"])[0], first[1])
    assert cache.made == 4
    many = [b"one of", b"two of", b"three of", b"one of"]
    assert cache(many).shape == (4, 16)  # more than it holds, all of this batch
    assert len(cache) == 2


def test_merges_are_drawn_for_each_batch(tokenizer, bert):
    collator = DynamicCollator(bert, tokenizer, merges=(0, 20))
    features = [dict(tokenizer(text)) for text in TEXTS]
    drawn = [len(collator.merge(features).merges) for _ in range(12)]
    assert len(set(drawn)) > 3
    again = DynamicCollator(bert, tokenizer, merges=(0, 20))
    assert drawn == [len(again.merge(features).merges) for _ in range(12)]


def test_methods_of_another_kind_are_refused(tokenizer, bert):
    for bad, message in (
        ({"method": "fvt"}, "method: 'fvt' is no merger of tokens; give dynamic-tokenization"),
        (
            {"rows": "dynamic-tokenization"},
            "rows: .* is no map to a new vocabulary; give fvt",
        ),
    ):
        with pytest.raises(UsageError, match=f"DynamicCollator: {message}"):
            DynamicCollator(bert, tokenizer, **bad)


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
def test_frozen_tokens_are_those_of_the_batch(tokenizer, tmp_path, tied):
    model = llama(tied)
    before = copy.deepcopy(model.state_dict())
    collator = DynamicCollator(model, tokenizer, merges=30)
    features = [dict(tokenizer(text)) for text in TEXTS]
    merged = collator.merge(features)
    frozen = freeze(model, tokenizer, merged)
    assert frozen.tokenizer(list(TEXTS))["input_ids"] == merged.sequences
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    folder = frozen.save(tmp_path / "frozen")
    again = AutoTokenizer.from_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert loaded.config.vocab_size == len(again) == len(tokenizer) + len(merged.tokens)
    plain = again(list(TEXTS), padding=True, padding_side="left", return_tensors="pt")
    positions = (plain["attention_mask"].cumsum(1) - 1).clamp(min=0)
    said = loaded(
        input_ids=plain["input_ids"],
        attention_mask=plain["attention_mask"],
        position_ids=positions,
    ).logits
    dynamic = model(**collator.embed(merged)).logits
    real = plain["attention_mask"].bool()
    assert torch.allclose(said[real][:, : len(tokenizer)], dynamic[real], atol=1e-5)
    assert again.decode(again(TEXTS[2], add_special_tokens=False)["input_ids"]) == TEXTS[2]


def test_nothing_new_is_frozen_as_it_is(tokenizer):
    model, ids = llama(), [tokenizer(text)["input_ids"] for text in TEXTS]
    frozen = freeze(
        model, tokenizer, DynamicTokenization(merges=0).merge(ids, vocabulary(tokenizer))
    )
    assert frozen.tokenizer(list(TEXTS))["input_ids"] == ids
    assert torch.equal(frozen.model.lm_head.weight, model.lm_head.weight)


def test_what_no_bpe_can_do_is_not_frozen(tokenizer):
    model = llama()
    ids = [tokenizer("a-b a-b a-b")["input_ids"]]
    crossing = DynamicTokenization(boundary="word", merges=9).merge(ids, vocabulary(tokenizer))
    assert b" a-b" in crossing.tokens
    with pytest.raises(UsageError, match="crosses a border"):
        freeze(model, tokenizer, crossing)
    other = Tokenizer(models.WordPiece({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    none = DynamicTokenization().merge([], vocabulary(other))
    with pytest.raises(UsageError, match="WordPiece"):
        freeze(model, other, none)


def test_the_longest_token_that_fits(tokenizer):
    vocab = vocabulary(tokenizer)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    merged = DynamicTokenization(boundary="word", merges=200).merge(ids, vocab)
    frozen = freeze(llama(), tokenizer, DynamicTokenization(merges=30).merge(ids, vocab))
    greedy = longest_prefix(frozen.tokenizer)
    known = {text: token for token, text in enumerate(vocabulary(frozen.tokenizer).spelled) if text}
    assert merged.tokens
    for text in (*TEXTS, "a\nb  c\t日本", "tokenstokens"):
        wanted, rest = [], text.encode()
        for line in rest.splitlines(keepends=True):
            while line:
                longest = max(n for n in range(1, len(line) + 1) if line[:n] in known)
                wanted.append(known[line[:longest]])
                line = line[longest:]
        made = greedy(text, add_special_tokens=False)["input_ids"]
        assert made == wanted
        assert greedy.decode(made) == text
    lacking = Tokenizer(models.BPE({"a": 0}, []))
    lacking.pre_tokenizer = pre_tokenizers.ByteLevel()
    with pytest.raises(UsageError, match="255 bytes are no tokens"):
        longest_prefix(PreTrainedTokenizerFast(tokenizer_object=lacking))


@torch.no_grad()
def test_all_neighbours_are_the_whole_head(tokenizer):
    model = llama()
    plain = tokenizer(TEXTS[0], return_tensors="pt")
    plain.pop("token_type_ids", None)
    said, written = (
        model(**plain).logits,
        model.generate(**plain, max_new_tokens=8, do_sample=False),
    )
    head = model.lm_head
    with neighbour_head(model, candidates=280):
        assert torch.equal(model(**plain).logits, said)
        again = model.generate(**plain, max_new_tokens=8, do_sample=False)
    assert torch.equal(again, written)
    assert model.lm_head is head


@torch.no_grad()
def test_neighbours_have_exact_scores(tokenizer):
    model = llama()
    model.lm_head.bias = torch.nn.Parameter(torch.randn(280))
    plain = tokenizer(TEXTS[0], return_tensors="pt")
    plain.pop("token_type_ids", None)
    said = model(**plain, output_hidden_states=True)
    rows = torch.nn.functional.normalize(model.lm_head.weight, dim=1)
    near = (said.hidden_states[-1] @ rows.T).topk(20).indices
    with neighbour_head(model, candidates=20, searched=280) as head:
        logits = model(**plain).logits
        found = head.nearest(said.hidden_states[-1][0])
        written = model.generate(
            **plain, max_new_tokens=5, do_sample=True, top_k=10, min_p=0.1, repetition_penalty=1.1
        )
    assert (logits.isfinite().sum(-1) == 20).all()
    held = logits.isfinite()
    assert torch.allclose(logits[held], said.logits[held], atol=1e-5)
    shared = [len(set(a) & set(b)) for a, b in zip(near[0].tolist(), found.tolist(), strict=True)]
    assert set(shared) == {20}
    assert written.shape[1] > plain["input_ids"].shape[1]


@torch.no_grad()
def test_neighbours_by_score_are_the_tokens_of_the_highest_scores():
    head = torch.nn.Linear(16, 300)
    head.weight.mul_(torch.linspace(0.2, 4, 300)[torch.randperm(300), None])
    hidden = torch.randn(40, 16)
    best = head(hidden).topk(20).indices
    shared = {}
    for by in ("angle", "score"):
        found = NeighbourHead(head, 20, searched=300, by=by).nearest(hidden)
        pairs = zip(best.tolist(), found.tolist(), strict=True)
        shared[by] = sum(len(set(a) & set(b)) for a, b in pairs) / 40
    assert shared["score"] == 20
    assert shared["angle"] < 17


@torch.no_grad()
def test_a_wider_search_finds_more_and_states_may_be_of_any_size():
    head = torch.nn.Linear(48, 3000, bias=False)
    hidden = torch.randn(64, 48)
    made = NeighbourHead(head, 20)
    assert made.index_bytes > 4 * 48 * 3000
    near = torch.nn.functional.normalize(head.weight, dim=1)
    best = (hidden @ near.T).argmax(-1, keepdim=True)
    held = {}
    for made.searched in (1, 13, 110):
        held[made.searched] = int((made.nearest(hidden) == best).any(1).sum())
    assert held[1] < held[13] < held[110] == 64
    assert torch.equal(made.nearest(2**24 * hidden), made.nearest(hidden))
    assert made.nearest(hidden[:0]).shape == (0, 20)


def test_heads_without_rows_and_wrong_numbers_are_refused(bert):
    with pytest.raises(UnsupportedModelError, match="for a head"), neighbour_head(bert):
        pass
    with pytest.raises(UsageError, match=r"candidates in \[1, 8\]"):
        NeighbourHead(torch.nn.Linear(4, 8), candidates=9)
