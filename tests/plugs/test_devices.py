"""On another device than the processor nothing is made on the wrong one, and no layer waits.

Tensors of the device "meta" have a shape and no content: mixing them with tensors of the processor
is an error, and so is asking for a number, for which a graphics card would have to be waited for.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tokenry
from tokenry import catalog
from tokenry.checks.models import tiny, tiny_decoder
from tokenry.method import CachePolicy, Losses, MarkedPolicy, TokenReducer
from tokenry.plugs import duplex, rotary
from tokenry.plugs.admission import Admission
from tokenry.plugs.editing import EditableCache
from tokenry.plugs.molecules import FEATURES, Graphs
from tokenry.plugs.text_molecule import TextMolecule
from tokenry.retrieval import DupMAE

ASK = {
    "actqkv": "how many blocks a layer may read",
    "d2o": "shares of the layers, once for each text",
}
"""Methods that ask for a number, and for which."""


def those(kind):
    return [c for c in catalog.classes() if issubclass(c, kind) and c.card.slug not in ASK]


@pytest.mark.parametrize("method", those(TokenReducer), ids=lambda cls: cls.card.slug)
def test_a_reducer_stays_on_the_device(method):
    model = tiny("vit").to("meta")
    with torch.no_grad(), tokenry.attach(model, method(keep=0.5)):
        out = model(torch.empty(2, 3, 32, 32, device="meta")).last_hidden_state
    assert out.device.type == "meta"
    assert out.shape[1] < 65


@pytest.mark.parametrize("padding", [False, True], ids=["plain", "padded"])
@pytest.mark.parametrize("method", those(CachePolicy), ids=lambda cls: cls.card.slug)
def test_a_policy_stays_on_the_device(method, padding, monkeypatch):
    if issubclass(method, MarkedPolicy):
        pytest.skip("landmarks look for their token in each text")
    monkeypatch.setattr(Admission, "padding", lambda self, mask, n: mask)
    how = "eager" if padding else "sdpa"  # sdpa's own mask asks whether there is padding
    model = tiny_decoder("llama", attn_implementation=how).to("meta")
    mask = torch.ones(2, 201, dtype=torch.bool, device="meta") if padding else None
    ids = torch.zeros(2, 200, dtype=torch.long, device="meta")
    with torch.no_grad(), tokenry.attach(model, method(keep=0.7)):
        first = model(ids, attention_mask=None if mask is None else mask[:, :200], use_cache=True)
        cache = first.past_key_values
        out = model(ids[:, :1], attention_mask=mask, past_key_values=cache)
    assert out.logits.device.type == "meta"


@pytest.mark.parametrize("strategy", ["pie", "reuse", "suffix"])
def test_an_edited_cache_stays_on_the_device(strategy):
    model = tiny_decoder("llama").to("meta")
    cache = EditableCache(model, None, list(range(40)), strategy=strategy)
    cache.edit(10, 12, [1, 2, 3])
    assert len(cache) == 41
    assert cache.logits().device.type == "meta"


def test_a_rotary_table_of_a_model_is_made_where_the_model_is(monkeypatch):
    places = []

    def shift_error(*rows):
        places.extend(x.device.type for x in rows[:3])
        return torch.zeros(8, 8)

    monkeypatch.setattr(rotary, "shift_error", shift_error)
    rotary.rotary_shift_error(tiny_decoder("llama").to("meta"), shifts=(16,), lengths=(8,))
    assert {*places} == {"meta"}


def test_texts_go_where_the_duplex_model_is(monkeypatch):
    class Far(duplex.DuplexModel):
        def __init__(self):
            nn.Module.__init__(self)
            self.method, self.one = DupMAE(), nn.Linear(1, 1, device="meta")

        def forward(self, features):
            assert {x.device.type for x in features.values()} == {"meta"}
            return Losses(total=torch.zeros((), requires_grad=True))

    monkeypatch.setattr(duplex, "DuplexCollator", lambda *_: lambda texts: {"ids": torch.ones(1)})
    assert duplex.pretrain(Far(), None, ["a"], steps=1, batch_size=1).losses == (0.0,)


def test_molecules_are_read_where_the_model_is():
    text = SimpleNamespace(config=SimpleNamespace(hidden_size=8))
    model = TextMolecule(text, width=4).to("meta")
    atoms, motifs, edges = (torch.ones(2, n, w) for n, w in ((3, FEATURES), (2, 1), (6, 6)))
    molecules = Graphs(
        atoms=atoms.to("meta"),
        real_atoms=atoms[..., 0].bool().to("meta"),
        real_motifs=motifs[..., 0].bool().to("meta"),
        edges=edges.to("meta"),
        motif=atoms[..., 0].long().to("meta"),
    )
    assert [x.shape[1] for x in model.nodes(molecules)] == [3, 2, 8]
