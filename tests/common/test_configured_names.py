"""`name(setting=value, ...)` stands for a configured method wherever a name does."""

import re

import pytest

import tokenry
from tokenry import catalog
from tokenry.errors import UnknownNameError, UsageError
from tokenry.method import Chunker, Linker, Method, Probe, Router
from tokenry.retrieval import FixedChunks
from tokenry.vision import AttentiveMask, PiToMe, Random, ToMe, ZeroTPrune


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("tome", ToMe()),
        ("tome()", ToMe()),
        (" pitome ( margin = .5 , proportional=False, ) ", PiToMe(margin=0.5, proportional=False)),
        ("pitome(variant=bsm-full)", PiToMe(variant="bsm-full")),
        ("""pitome(variant='bsm', form="paper")""", PiToMe(variant="bsm", form="paper")),
        ("attentive-mask(scorer=pass)", AttentiveMask(scorer="pass")),
        ("tome(schedule=(8, 8))", ToMe(schedule=(8, 8))),
        ("zero-tprune(rounds=(9,), tolerance=1e-2)", ZeroTPrune(rounds=(9,), tolerance=0.01)),
        ("tome(keep=.5)", ToMe(keep=0.5)),
    ],
)
def test_text_becomes_the_method(text, method):
    assert catalog.make(text) == method


def test_settings_beside_the_text_join_those_inside():
    assert catalog.make("random(seed=3)", keep=0.5) == Random(seed=3, keep=0.5)


def test_describe_can_be_read_back():
    method = PiToMe(margin=0.5, schedule="linear", variant="bsm-full", keep=0.6)
    text = method.describe().replace("PiToMe", "pitome")
    assert catalog.make(text) == method


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tome(schedule=ratio", r"'tome\(schedule=ratio': the parentheses do not match"),
        ("tome)", "the parentheses do not match"),
        ("tome(schedule=(8, 8)", "the parentheses do not match"),
        ("tome(proportional=True)x(", "the parentheses do not match"),
        ("tome(seed=1)(seed=2)", "'seed=1\\)\\(seed=2' is not a plain value"),
        ("pitome(0.5)", "'0.5' does not name its setting; write setting=value, as `tokenry show p"),
        ("pitome(=0.5)", "does not name its setting"),
        ("pitome(margin=.5, margin=.6)", "margin is given twice"),
        ("pitome(margin=)", "is not a plain value"),
        ("pitome(margin=__import__('os').getcwd())", "is not a plain value"),
        ("pitome(margin={[]: 1})", "is not a plain value"),
        ("pitome(margin=1.5)", r"PiToMe: margin=1.5 is outside \[0, 1\]"),
        ("pitome(variant=half)", "PiToMe: variant='half' is not 'full' or 'bsm' or 'bsm-full'"),
        ("pitome(proportional=false)", "proportional='false' is not bool"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        catalog.make(text)


def test_unknown_names_get_the_nearest_ones():
    with pytest.raises(UnknownNameError, match="method 'tomme' is unknown; nearest: tome"):
        catalog.make("tomme(schedule=ratio)")
    message = "pitome: the setting 'margn' is unknown; nearest: margin"
    with pytest.raises(UnknownNameError, match=message):
        catalog.make("pitome(margn=0.5)")
    with pytest.raises(UnknownNameError, match=message):
        catalog.make("pitome", margn=0.5)


def test_a_method_of_a_contract_comes_from_its_name_or_is_itself():
    made = catalog.configured(" fixed-chunks ( size = 50 )", Chunker, "cut", overlap=10)
    assert made == FixedChunks(size=50, overlap=10)
    assert catalog.configured(made, Chunker, "cut") is made
    assert catalog.configured(made, (Linker, Chunker), "cut") is made


@pytest.mark.parametrize(
    ("given", "contract", "settings", "message"),
    [
        ("tome", Router, {}, "who: 'tome' is no router; give octopus."),
        ("tome", Router, {"steps": 3}, "who: 'tome' is no router; give octopus."),
        (ToMe(keep=0.5), Probe, {}, "who: ToMe(keep=0.5) is no probe; give multilingual-lm, "),
        ("supcon", Linker, {}, "no linker; `tokenry list --family linking` shows what is."),
        (3, (Probe, Linker), {}, "who: int is no probe or linker; `tokenry list --family F`, with"),
        (None, Method, {}, "who: NoneType is no method; `tokenry list --family F`, with vision, "),
        (FixedChunks, Chunker, {}, "FixedChunks is a class; give 'fixed-chunks' or an instance."),
        (ToMe, Chunker, {}, "who: ToMe is no chunker; give "),
        (FixedChunks(), Chunker, {"size": 9, "overlap": 1}, "already; set size, overlap on it "),
        ("fixed-chunks(size=9)", Chunker, {"size": 8}, "size is given inside the parentheses and"),
        ("fixed-chunks(size=0)", Chunker, {}, "size=0 is outside [1, 1000000]"),
    ],
)
def test_what_is_not_of_the_contract_is_refused_with_what_is(given, contract, settings, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        catalog.configured(given, contract, "who", **settings)


def test_every_contract_has_a_name_of_its_own():
    """A contract says what the methods of a family answer; it is a class of `tokenry.method`."""
    bases = {base for cls in catalog.classes() for base in cls.__mro__}
    contracts = {base for base in bases if base.__module__.startswith("tokenry.method.")}
    nouns = [contract.__dict__.get("noun", "") for contract in contracts]
    assert Chunker in contracts
    assert "" not in nouns
    assert len(set(nouns)) == len(nouns)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tome,pitome", ["tome", "pitome"]),
        ("pitome(margin=.5, form=elu), tome", ["pitome(margin=.5, form=elu)", "tome"]),
        ("tome(schedule=(8,8)),random", ["tome(schedule=(8,8))", "random"]),
        ("a(b='),'),c", ["a(b='),')", "c"]),
        ("tome),random", ["tome)", "random"]),
        (" , ", []),
    ],
)
def test_commas_inside_brackets_do_not_split(text, parts):
    assert catalog.split(text) == parts


def test_attach_takes_it(tiny, images):
    model = tiny("vit")
    with tokenry.attach(model, "pitome(margin=0.5)", keep=0.6) as attachment:
        model(images(1))
    assert attachment.method == PiToMe(margin=0.5, keep=0.6)
    message = r"'pitome\(keep=.5\)': keep is given inside the parentheses and outside them"
    with pytest.raises(UsageError, match=message):
        tokenry.attach(model, "pitome(keep=.5)", keep=0.6)
