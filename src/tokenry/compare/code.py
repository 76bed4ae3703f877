"""Lines of code that switch a method on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tokenry.compare.records import MethodInfo


@dataclass(frozen=True, slots=True)
class Source:
    """Where a user gets the same model and the same input.

    Attributes:
        name: Zoo name, folder or Hub name; empty when the model was built in memory.
        cls: The model's class in transformers; empty when it is not one.
        inputs: Settings of the processor, besides the images.
        kind: Kind of the model, as in `tokenry.compare.kinds.KINDS`.
        chat: Whether its tokenizer has a chat template.
    """

    name: str
    cls: str
    inputs: dict[str, Any]
    kind: str = "vision"
    chat: bool = False


@dataclass(frozen=True, slots=True)
class _Usage:
    """How a kind of model is run: imports, the processor, and lines around the call."""

    imports: tuple[str, ...]
    processor: str
    cls: str
    given: tuple[str, ...]
    call: str
    after: tuple[str, ...] = ()


def lines(source: Source, method: MethodInfo | None, keep: float) -> str:
    """A script that loads the model, and runs it with a method.

    Args:
        source: Where the model comes from.
        method: The method; None for the untouched model.
        keep: The dial.
    """
    if source.kind == "text-encoder":
        return _search(source, method, keep)
    if source.kind == "linker":
        return _linking(source, method)
    usage = _images(source) if source.kind == "vision" else _text(source)
    imports, load = _loading(source, usage)
    body = [usage.call]
    if method is not None:
        dial = "" if source.kind == "writer" else f"keep={keep!r}"
        made = _made(method, dial)
        imports += [
            f"from {one.module} import {one.cls}"
            for one in method.stack or (method,)
            if not one.listed
        ]
        imports.append("import tokenry")
        body = [f"with tokenry.attach(model, {made}):", f"    {usage.call}"]
    imports += usage.imports
    order = sorted(imports, key=lambda line: (line.startswith("from"), line))
    return "\n".join([*order, "", *load, *usage.given, *body, *usage.after, ""])


def _made(method: MethodInfo, dial: str) -> str:
    """What `attach` is given beside the model."""
    if method.stack:
        return f"[{', '.join(_one(part) for part in method.stack)}]"
    inside = ", ".join(filter(None, [dial, method.settings]))
    if method.listed:
        return ", ".join(filter(None, [repr(method.card["slug"]), inside]))
    return f"{method.cls}({inside})"


def _one(part: MethodInfo) -> str:
    """A method of a stack, with its settings."""
    return repr(part.label) if part.listed else f"{part.cls}({part.settings})"


def _images(source: Source) -> _Usage:
    settings = "".join(f", {name}={value!r}" for name, value in source.inputs.items())
    return _Usage(
        imports=("from PIL import Image",),
        processor="processor",
        cls="AutoImageProcessor",
        given=(
            'images = [Image.new("RGB", (224, 224))]  # put yours here: Image.open("picture.jpg")',
        ),
        call=f'outputs = model(**processor(images=images, return_tensors="pt"{settings}))',
    )


def _text(source: Source) -> _Usage:
    inputs = 'inputs = tokenizer(text, return_tensors="pt")'
    if source.chat:
        inputs = (
            "inputs = tokenizer.apply_chat_template(\n"
            '    [{"role": "user", "content": text}], add_generation_prompt=True,\n'
            '    return_dict=True, return_tensors="pt",\n'
            ")"
        )
    return _Usage(
        imports=(),
        processor="tokenizer",
        cls="AutoTokenizer",
        given=('text = "Put your long text and your question here. " * 40', inputs),
        call="outputs = model.generate(**inputs, max_new_tokens=64)",
        after=('print(tokenizer.decode(outputs[0, inputs["input_ids"].shape[1] :]))',),
    )


_SHELVES = {
    "": 'index.search(question, rankers="maxsim")',
    "IndexReducer": 'index.search(question, rankers="maxsim")',
    "SearchPlan": "index.search(question, rankers=method.rankers, candidates=method.candidates)",
}
"""How an index is searched under each contract; the others score tokens by themselves."""

_WORDS = ("import re", "import torch", "from tokenry.ops.ragged import Ragged")
_NUMBERED = (
    "known = {}",
    "numbered = lambda text: torch.tensor(",
    r"    [known.setdefault(word, len(known)) for word in re.findall(r'\w+', text.lower())]",
    ")",
    "d = Ragged.of([numbered(text) for text in documents])",
    "scores = method.score(Ragged.of([numbered(question)]), d)",
)
"""How words are numbered for a scorer that reads words."""


_LOAD = "from tokenry.plugs.token_encoder import TokenEncoder"
_CHUNKS = "documents = [documents[i][start:end] for i, start, end in chunks.tolist()]"


def _scored(source: Source, method: MethodInfo, given: list[str], made: list[str]) -> str:
    """A script in which a scorer reads all documents."""
    own = f"from {method.module} import {method.cls}"
    cls = getattr(import_module(method.module), method.cls)
    if getattr(cls, "reads", "vectors") == "words":
        return "\n".join([*_WORDS, own, "", *given[-2:], *made, *_NUMBERED, ""])
    encoder = [f"encoder = TokenEncoder.load({source.name!r})"] if source.name else []
    scored = [
        "d, q = encoder.encode(documents), encoder.encode([question], 'query')",
        "scores = method.score(q.tokens, d.tokens)",
    ]
    return "\n".join([own, _LOAD, "", *given, *encoder, *made, *scored, ""])


def _search(source: Source, method: MethodInfo | None, keep: float) -> str:
    """A script that searches documents."""
    contract = "" if method is None else method.contract
    name = repr(source.name) if source.name else "encoder"
    given = [
        'documents = ["Put your documents here.", "One text for each of them."]',
        'question = "Where do my documents go?"',
    ]
    if not source.name:
        given.insert(0, "# encoder: a TokenEncoder of the model that was compared")
    imports, made = ["import tokenry"], []
    if method is not None:
        inside = ", ".join(filter(None, [f"keep={keep!r}" * method.dial, method.settings]))
        imports.append(f"from {method.module} import {method.cls}")
        made = [f"method = {method.cls}({inside})"]
    if method is not None and contract not in _SHELVES:
        return _scored(source, method, given, made)
    inner, store = name, ""
    if contract == "IndexReducer":
        imports.append("from tokenry.plugs.shrunk_encoder import shrunk")
        inner = f"shrunk({name}, method, documents)"
    if method is not None and contract == "SearchPlan":
        store = ", store=method.store"
        inner = "method.encoder" if "encoder=" in method.settings else name
        if "chunker=" in method.settings:
            reader = f"TokenEncoder.load({inner})" if inner != "encoder" else inner
            imports += [_LOAD, "from tokenry.plugs.cutting import cut"]
            made += [f"chunks = cut(documents, method.chunker, {reader})", _CHUNKS]
    body = [
        f'with tokenry.Index("index", {inner}{store}) as index:',
        "    index.add(documents)",
        *["    if method.bits:", "        index.compress(method.bits)"]
        * (contract == "SearchPlan"),
        f"    hits = {_SHELVES[contract]}",
    ]
    return "\n".join([*imports, "", *given, *made, *body, ""])


def _linking(source: Source, method: MethodInfo | None) -> str:
    """A script that links two tables."""
    given = [
        'left = {"name": ["Put your records here", "One row for each"]}',
        'right = {"name": ["put your records here"]}',
    ]
    imports = ["import tokenry"]
    made = repr("linktransformer(separator=' ')" if method is None else method.label)
    if method is None:
        given.append("# The encoder alone: this linker takes the cosine of whole records.")
    elif not method.listed:
        imports.append(f"from {method.module} import {method.cls}")
        made = f"{method.cls}({method.settings})"
    name = f", encoder={source.name!r}" if source.name else ""
    call = f'links = tokenry.link(left, right, on="name", method={made}{name})'
    return "\n".join([*imports, "", *given, call, "print(links)", ""])


def _loading(source: Source, usage: _Usage) -> tuple[list[str], list[str]]:
    """Imports and lines that define the model and what makes its input."""
    if source.name.startswith("zoo:"):
        return ["from tokenry import zoo"], [
            f"loaded = zoo.load({source.name!r})",
            f"model, {usage.processor} = loaded.model, loaded.processor",
        ]
    if source.name and source.cls:
        return [f"from transformers import {usage.cls}, {source.cls}"], [
            f"model = {source.cls}.from_pretrained({source.name!r}).eval()",
            f"{usage.processor} = {usage.cls}.from_pretrained({source.name!r})",
        ]
    return [], [f"# model and {usage.processor}: those that were compared"]
