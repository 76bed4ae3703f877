"""ZeTT: its parts against plain formulas, and a checkpoint in the published layout."""

import json

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, RobertaConfig
from transformers.models.roberta.modeling_roberta import RobertaModel

from tokenry.errors import UsageError
from tokenry.method import Embeddings, Move, Origin
from tokenry.ops.hypernet import (
    HypernetShape,
    Hypernetwork,
    Rescaler,
    Rows,
    identity_loss,
    lexical_loss,
)
from tokenry.plugs import hypernet
from tokenry.plugs.hypernet import (
    fetch_hypernetwork,
    save_hypernetwork,
)
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import Zett

TEXTS = (
    "def spam(eggs):\n    return eggs",
    "der Überfluß, 日本語 und so weiter\t  ...",
    "spam spam",
)
WIDTH, OLD = 8, 270


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=OLD,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


def published(folder, separate, bias, languages):
    """A checkpoint as the authors' code writes it, with weights drawn at random."""
    draw = torch.Generator().manual_seed(0)
    config = RobertaConfig(
        vocab_size=2, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=30, type_vocab_size=1, pad_token_id=1,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
    )  # fmt: skip
    roberta = RobertaModel(config, add_pooling_layer=False).eval()
    wide = 2 * WIDTH if separate else WIDTH
    state = {f"model.{k}": v for k, v in roberta.state_dict().items() if "_ids" not in k}
    sizes = {"fallback_embeddings.weight": (5, wide), "in_scaler.w": (1, wide)}
    sizes |= {"in_scaler.b": (1, wide), "scaler.w": (1, WIDTH), "scaler.b": (1, WIDTH)}
    heads = {"input_projection": (16, wide), "output_projection": (WIDTH, 16)}
    if separate:
        heads["output_projection_out"] = (WIDTH, 16)
        sizes |= {"out_scaler.w": (1, WIDTH), "out_scaler.b": (1, WIDTH)}
    for name, (rows, columns) in heads.items():
        block, linear = (1, 0) if name == "input_projection" else (0, 1)
        sizes |= {f"{name}.{linear}.weight": (rows, columns), f"{name}.{linear}.bias": (rows,)}
        sizes |= {f"{name}.{block}.dense1.weight": (32, 16), f"{name}.{block}.dense1.bias": (32,)}
        sizes |= {f"{name}.{block}.dense2.weight": (16, 32), f"{name}.{block}.dense2.bias": (16,)}
        sizes |= {f"{name}.{block}.ln.weight": (16,), f"{name}.{block}.ln.bias": (16,)}
    if bias:
        sizes |= {"bias_projection.weight": (1, 16), "bias_projection.bias": (1,)}
    if languages:
        sizes["lang_embeddings.weight"] = (languages, 16)
    state |= {name: torch.randn(size, generator=draw) * 0.4 for name, size in sizes.items()}
    settings = {
        "hn_surface_maxlen": 4, "hn_n_layers": 2, "n_embd": WIDTH, "hn_hidden_size": 16,
        "hn_intermediate_size": 32, "hn_rescale_embeddings": True, "hn_n_extra_tokens": 5,
        "hn_embed_using_source_embeddings": True, "hn_num_attention_heads": 4,
        "hn_embed_lang_id": bool(languages), "n_langs": languages, "hn_predict_bias": bias,
        "separate_out_embeddings": separate, "original_vocab_size": OLD, "pad_token_id": 3,
        "hn_model_type": "roberta", "hn_single_head": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings))
    save_file({k: v.clone() for k, v in state.items()}, folder / "model.safetensors")
    return roberta, state


def block(state, name, z):
    first, second = (
        lambda x, part=part: state[f"{name}.{part}.weight"] @ x + state[f"{name}.{part}.bias"]
        for part in ("dense1", "dense2")
    )
    inside = functional.gelu(first(z), approximate="tanh")
    x = functional.gelu(second(inside), approximate="tanh") + z
    x = (x - x.mean()) / (x.var(unbiased=False) + 1e-6).sqrt()
    return x * state[f"{name}.ln.weight"] + state[f"{name}.ln.bias"]


def linear(state, name, z):
    return state[f"{name}.weight"] @ z + state[f"{name}.bias"]


def headed(state, name, scaler, hidden):
    rows = linear(state, f"{name}.1", block(state, f"{name}.0", hidden))
    return state[f"{scaler}.w"][0] * rows + state[f"{scaler}.b"][0]


def said(roberta, state, form, source, language):
    """The equations of the paper, for one token."""
    read = []
    for token in form:
        if token >= OLD:
            x = state["fallback_embeddings.weight"][token - OLD]
        else:
            x = state["in_scaler.w"][0] * source[token] + state["in_scaler.b"][0]
        x = linear(state, "input_projection.0", x)
        read.append(block(state, "input_projection.1", x))
    positions = list(range(len(form)))
    if language is not None:  # what RoBERTa adds is taken off before
        parts, at = roberta.embeddings, 4
        positions.append(at)
        told = state["lang_embeddings.weight"][language]
        added = parts.token_type_embeddings.weight[0] + parts.position_embeddings.weight[at]
        read.append(told - added)
    hidden = roberta(
        inputs_embeds=torch.stack(read)[None], position_ids=torch.tensor([positions])
    ).last_hidden_state[0, 0]
    made = [headed(state, "output_projection", "scaler", hidden)]
    if "out_scaler.w" in state:
        made.append(headed(state, "output_projection_out", "out_scaler", hidden))
    with_bias = "bias_projection.weight" in state
    return made, linear(state, "bias_projection", hidden) if with_bias else None


@torch.no_grad()
@pytest.mark.parametrize(
    ("separate", "bias", "languages"), [(False, False, 0), (True, False, 0), (False, True, 3)]
)
def test_a_published_checkpoint_predicts_as_published(
    tokenizer, tmp_path, separate, bias, languages
):
    roberta, state = published(tmp_path, separate, bias, languages)
    vocab, table = vocabulary(tokenizer), torch.randn(OLD + 2, WIDTH)
    old = Embeddings(
        input=table,
        output=torch.randn(OLD + 2, WIDTH) if separate else None,
        bias=torch.randn(OLD + 2) if bias else None,
    )
    source = table if old.output is None else torch.cat([table, old.output], 1)
    language = 1 if languages else None
    target = Tokenizer(models.BPE({"Ġspam": 0, "weiter": 1, "s": 2, "return": 3}, []))
    target.pre_tokenizer = pre_tokenizers.ByteLevel()
    move = Move(source=vocab, target=vocabulary(target), embeddings=old)
    found = Zett(hypernetwork=str(tmp_path), language=language).rows(move)
    for token, spelled in enumerate(move.target.spelled):
        form = vocab.scribe.write(spelled)[:4]
        (read, *scored), shift = said(roberta, state, form, source, language)
        assert torch.allclose(found.embeddings.input[token], read, atol=1e-5)
        if separate:
            assert torch.allclose(found.embeddings.output[token], scored[0], atol=1e-5)
        if bias:
            assert torch.allclose(found.embeddings.bias[token], shift[0], atol=1e-5)
        assert list(found.parents[token]) == form
    assert set(found.origin.tolist()) == {Origin.PREDICTED}


@torch.no_grad()
def test_ids_beyond_the_vocabulary_have_rows_of_their_own(tmp_path):
    roberta, state = published(tmp_path, False, False, 0)
    net = Zett(hypernetwork=str(tmp_path))._load(_move(torch.randn(OLD, WIDTH)))
    source = torch.randn(OLD, WIDTH)
    made = net(torch.tensor([[5, OLD + 2, 7, 3], [OLD, 3, 3, 3]]), source)
    for row, form in zip(made.input, ([5, OLD + 2, 7], [OLD]), strict=True):
        (wanted,), _ = said(roberta, state, form, source, None)
        assert torch.allclose(row, wanted, atol=1e-5)


def _move(table, **more):
    plain = Tokenizer(models.BPE({"a": 0}, []))
    vocab = vocabulary(plain)
    return Move(source=vocab, target=vocab, embeddings=Embeddings(input=table, **more))


def test_a_checkpoint_of_the_hub_is_a_folder(tmp_path, monkeypatch):
    published(tmp_path, False, False, 0)
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        if name != "someone/net":
            raise FileNotFoundError(name)
        return str(tmp_path)

    monkeypatch.setattr(hypernet, "snapshot_download", download)
    folder = fetch_hypernetwork("someone/net")
    rows = Zett(hypernetwork=str(folder)).rows(_move(torch.randn(OLD, WIDTH)))
    assert rows.embeddings.input.shape == (1, WIDTH)
    assert asked == [("someone/net", ["config.json", "model.safetensors"])]
    with pytest.raises(UsageError, match="'no/net' cannot be had"):
        fetch_hypernetwork("no/net")


def test_what_is_saved_is_read(tmp_path):
    torch.manual_seed(0)
    shape = HypernetShape(
        width=4, vocabulary=9, hidden=8, inner=16, heads=2, padding=300, separate=True, extra=2
    )
    net = Hypernetwork(shape)
    with torch.no_grad():
        net.scaler.w *= 3
    save_hypernetwork(net, tmp_path)
    again = Zett(hypernetwork=str(tmp_path))._load(
        _move(torch.zeros(9, 4), output=torch.zeros(9, 4))
    )
    assert again.shape == shape
    forms, source = torch.randint(0, 11, (6, 7)), torch.randn(9, 8)
    for one, two in zip(net(forms, source)[:2], again(forms, source)[:2], strict=True):
        assert torch.equal(one, two)


def test_a_hypernetwork_of_another_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has no model\.safetensors"):
        Zett().rows(_move(torch.zeros(OLD, WIDTH)))
    published(tmp_path, False, False, 0)
    one = Zett(hypernetwork=str(tmp_path))
    for table, more, message in (
        (torch.zeros(OLD, 4), {}, "rows of width 8"),
        (torch.zeros(OLD, WIDTH), {"output": torch.zeros(OLD, WIDTH)}, "separate"),
        (torch.zeros(OLD - 1, WIDTH), {}, "270 tokens"),
        (torch.zeros(OLD, WIDTH), {"bias": torch.zeros(OLD)}, "without a bias"),
    ):
        with pytest.raises(UsageError, match=message):
            one.rows(_move(table, **more))
    with pytest.raises(UsageError, match="language=2"):
        Zett(hypernetwork=str(tmp_path), language=2).rows(_move(torch.zeros(OLD, WIDTH)))
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"hn_single_head": True}))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UsageError, match="hn_single_head"):
        one.rows(_move(torch.zeros(OLD, WIDTH)))


def test_a_rescaler_gives_columns_mean_and_spread():
    torch.manual_seed(0)
    x, target = torch.randn(500, 6) * 7 + 3, torch.randn(400, 6) * torch.arange(1, 7) - 2
    scaler = Rescaler(6)
    scaler.fit(x, target.mean(0), target.std(0, unbiased=False))
    assert torch.allclose(scaler(x).mean(0), target.mean(0), atol=1e-5)
    assert torch.allclose(
        scaler(x).std(0, unbiased=False), target.std(0, unbiased=False), atol=1e-5
    )
    assert not list(scaler.parameters())


def test_rescalers_fit_what_comes_in_and_goes_out():
    torch.manual_seed(0)
    shape = HypernetShape(
        width=4, vocabulary=50, hidden=8, inner=16, heads=2, padding=99, separate=True
    )
    net, source = Hypernetwork(shape), torch.randn(50, 8) * 3 + 1
    forms = torch.arange(50)[:, None]
    net.fit_rescalers(forms, source)
    read, scored, _ = net(forms, source)
    assert torch.allclose(
        net.in_scaler(source).std(0, unbiased=False), torch.tensor(0.02), atol=1e-6
    )
    both = torch.cat([read, scored], 1)
    assert torch.allclose(both.mean(0), source.mean(0), atol=1e-4)
    assert torch.allclose(both.std(0, unbiased=False), source.std(0, unbiased=False), atol=1e-4)


def test_losses_are_those_of_the_paper():
    torch.manual_seed(0)
    source, forms = torch.randn(6, 8), torch.tensor([[1, 9], [2, 3], [4, 9], [7, 9], [9, 9]])
    rows = Rows(torch.randn(5, 4), torch.randn(5, 4), None)
    by_hand = []
    for made, old in ((rows.input, source[:, :4]), (rows.output, source[:, 4:])):
        far = [float(((made[row] - old[token]) ** 2).sum()) for row, token in ((0, 1), (2, 4))]
        by_hand.append(sum(far) / sum(float(old[token].norm()) for token in (1, 4)))
    assert lexical_loss(rows, source, forms, 9).item() == pytest.approx(sum(by_hand) / 2, rel=1e-5)
    none = lexical_loss(Rows(rows.input, None, None), source[:, :4], forms[1:2], 9)
    assert none.item() == 0
    wanted = torch.randn(5, 8)
    both = torch.cat([rows.input, rows.output], 1)
    far = sum(float(((both[row] - wanted[row]) ** 2).sum()) for row in range(5)) / 5
    assert identity_loss(rows, wanted).item() == pytest.approx(far / 2, rel=1e-5)
