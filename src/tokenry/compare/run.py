"""The verb: `tokenry.compare`."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.compare import subject as subjects
from tokenry.compare.configurations import configure
from tokenry.compare.configurations import keeps as dial
from tokenry.compare.kinds import KINDS, Kind, check_methods, load_data
from tokenry.compare.results import Results
from tokenry.compare.runner import Runner
from tokenry.compare.store import Store
from tokenry.compare.study import Options, named, settle
from tokenry.compare.study import tasks as make_tasks
from tokenry.plugs.device import device_of
from tokenry.progress import showing

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tokenry.compare.tasks import Task
    from tokenry.method import Method
    from tokenry.zoo import Loaded


def compare(
    model: str | Path | nn.Module | Loaded,
    methods: str | Sequence[str | Method | Sequence[str | Method]],
    data: Any,
    *,
    keep: float | Sequence[float] = (1, 0.75, 0.5, 0.25),
    task: str | Task | Sequence[str | Task] | None = None,
    folder: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    repeats: int = 1,
    budget_seconds: float | None = None,
    image_size: int | None = None,
    query: str | None = None,
    max_tokens: int | None = None,
    block: str | Sequence[str] | None = None,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> Results:
    """Measure what methods cost and what they lose, on your model and your data.

    The untouched model always runs too. All configurations visit a batch before the next one
    begins, in an order that is rotated from batch to batch; quality and cost come from the same
    passes. Whatever is measured is stored at once: the same call with the same `folder` goes on
    where an earlier one stopped, and measures only what is missing.

    Args:
        model: `zoo:NAME`, a folder, a Hub name, or a model that transformers loaded: a vision
            model, a causal language model, or a text encoder. It is given back exactly as it was.
        methods: Names, as in `"pitome"` or `"pitome(margin=0.5)"`, or configured instances, whose
            `keep` is replaced. A list in their place is a stack, which may also be written as one
            name: `["prompt-lookup", "snapkv"]` or `"prompt-lookup+snapkv"`.
        data: For a vision model what `tokenry.data.load` takes, or what it gave; for a language
            model the same of `tokenry.data.load_text`, for a text encoder of
            `tokenry.data.load_collection`, and to compare linkers of `tokenry.data.load_linked`.
        keep: Shares of tokens to try, each in (0, 1].
        task: What is scored; several that can share a pass do. When not given, agreement with the
            untouched model, for a text encoder what queries find, and for linkers F1 of links.
        folder: Keeps what is measured; None for one that lives as long as the results.
        limit: At most so many examples, at least 1.
        seed: Of all that is drawn.
        batch_size: Examples per pass, at least 1; when not given, 8 pictures, 1 text, or a
            quarter of the records that are linked.
        repeats: Timed passes per batch and configuration, at least 1; their median counts.
        budget_seconds: Stop between two batches before this is over; the first batch always runs.
        image_size: Side in pixels that images are brought to, a multiple of the patch size.
        query: For texts, when the question comes: "aware", inside the prompt before the cache is
            cut, or "free", after the context was read and cut; see the tasks for their default.
        max_tokens: For texts, most tokens of the context, or of each document that is searched.
            When not given, whole documents, and of a context 512 where the text itself goes on and
            2048 where a question is asked, or what the model has positions for.
        block: Which records linkers compare, as `tokenry.link` reads it; all when not given.
        device: Where to run; None stays where the model is.
        progress: Show a bar; None shows one on a terminal.

    Returns:
        The results; incomplete (`complete` is False) after Ctrl-C or when the budget was spent.

    Raises:
        UsageError: If an argument is out of range or does not fit the others, or outputs are NaN.
        UnknownNameError: If there is no such method, setting, task, model or data.
        UnsupportedModelError: If tokenry does not know the model's architecture.
        AttachError: If the model already carries a method.
        DataError: If the data cannot be read.
        StoreError: If the results cannot be stored.
    """
    began = time.monotonic()
    size = 1 if batch_size is None else batch_size
    options = Options(dial(keep), limit, seed, size, repeats, budget_seconds)
    configured = configure(methods, options.keeps)
    chosen = None if task is None else named(task)
    place = device_of(device)
    settings = {"query": query, "max_tokens": max_tokens, "block": block}
    with showing(progress), _lasting(folder) as held, Store(held, write=True) as store:
        stacks = [c.methods for c in configured[1]]
        every = [method for stack in stacks for method in stack]
        foreseen = subjects.foreseen(model, image_size, every)
        kind, wanted, examples = _checked(foreseen, stacks, data, chosen, settings)
        options = _sized(options, batch_size, kind, len(examples.examples))
        found = subjects.find(model, place, image_size, every)
        with subjects.undisturbed(found.model, found.device):
            Runner(settle(found, configured, wanted, examples, options), store, began).run()
    results = Results.open(held)
    if folder is None:
        weakref.finalize(results, shutil.rmtree, held, ignore_errors=True)
    return results


def _checked(
    foreseen: tuple[str, str],
    stacks: Sequence[Sequence[Method]],
    data: Any,
    chosen: list[Task | type[Task]] | None,
    settings: dict[str, Any],
) -> tuple[Kind, list[Task], Any]:
    """The kind, the tasks and the data: what does not fit is told before a model is loaded."""
    slug, name = foreseen
    kind = KINDS[slug]
    check_methods(kind, stacks, name)
    tasks = make_tasks(named(kind.task) if chosen is None else chosen, settings, slug)
    examples = load_data(kind, data, name)
    for task in tasks:
        task.take(examples)
    return kind, tasks, examples


def _sized(options: Options, given: int | None, kind: Kind, count: int) -> Options:
    """The options, with the batches that suit the kind of data where no size was given."""
    if given is not None:
        return options
    return replace(options, batch_size=kind.pass_of(count, options.limit))


@contextmanager
def _lasting(folder: str | Path | None) -> Iterator[Path]:
    """The folder of the results; a temporary one is removed if anything goes wrong."""
    if folder is not None:
        yield Path(folder).expanduser()
        return
    made = Path(tempfile.mkdtemp(prefix="tokenry-"))
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
