"""Read a results folder back: the last request says what, the rows give the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.compare.code import Source
from tokenry.compare.records import Figure, MethodInfo, Profile, Row, Skipped, TaskInfo
from tokenry.compare.results import Pictures, Results
from tokenry.compare.store import Key, Store
from tokenry.errors import StoreError


def read(folder: Path) -> Results:
    """The last comparison in a folder.

    Raises:
        StoreError: If there is none, or it cannot be read.
    """
    with Store(folder, write=False) as store:
        request = store.request()
        try:
            return _results(folder, store, request)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{folder}: the stored comparison cannot be read ({error!r}); give another folder."
            ) from error


def _info(stored: dict[str, Any]) -> MethodInfo:
    stack = tuple(_info(part) for part in stored.get("stack", ()))
    return MethodInfo(**{**stored, "stack": stack})


def _results(folder: Path, store: Store, request: dict[str, Any]) -> Results:
    study = int(request["study"])
    keys = {(label, keep): (identity, keep) for label, keep, identity in request["configurations"]}
    profiles = store.profiles(study)
    tasks = [_task(task) for task in request["tasks"]]
    return Results(
        model=request["model"],
        data=request["data"],
        tasks=tuple(tasks),
        infos=tuple(_info(info) for info in request["methods"]),
        keeps=tuple(request["keeps"]),
        labels=dict(request["examples"]),
        skipped=tuple(Skipped(**skipped) for skipped in request["skipped"]),
        environment=request["environment"],
        complete=request["complete"],
        seed=request["seed"],
        source=Source(**request["source"]),
        _rows=_rows(store, request, keys, profiles, tasks),
        _profiles=[
            _profile(label, keep, profiles[key])
            for (label, keep), key in keys.items()
            if key in profiles
        ],
        _pictures=_pictures(folder, study, keys),
        conditions=request["conditions"],
    )


def _task(content: dict[str, Any]) -> TaskInfo:
    known = {k: v for k, v in content.items() if k not in ("identity", "scored")}
    figures = tuple(Figure(**figure) for figure in content["figures"])
    return TaskInfo(**known | {"figures": figures, "grid": tuple(content["grid"])})


def _rows(
    store: Store,
    request: dict[str, Any],
    keys: dict[tuple[str, float], Key],
    profiles: dict[Key, dict[str, Any]],
    infos: list[TaskInfo],
) -> list[Row]:
    order = {name: i for i, (name, _) in enumerate(request["examples"])}
    tasks = {task["identity"]: (task["slug"], set(task["scored"])) for task in request["tasks"]}
    settings = {info.slug: info.settings for info in infos}
    rows = []
    for (label, keep), key in keys.items():
        peak = profiles.get(key, {}).get("peak_bytes", 0)
        records = [
            r
            for r in store.records(request["study"], key)
            if r.task in tasks and r.example in tasks[r.task][1]
        ]
        records.sort(key=lambda r: (list(tasks).index(r.task), order[r.example]))
        rows += [
            Row(
                task=tasks[r.task][0],
                method=label,
                keep=keep,
                example=r.example,
                score=r.score,
                scores=r.scores,
                seconds=r.seconds,
                peak_bytes=peak,
                tokens=r.tokens,
                batch=r.batch,
                costs=r.costs,
                settings=settings[tasks[r.task][0]],
            )
            for r in records
        ]
    return rows


def _profile(label: str, keep: float, content: dict[str, Any]) -> Profile:
    return Profile(
        method=label,
        keep=keep,
        layer_seconds=tuple(content["layer_seconds"]),
        tokens=tuple((int(a), int(m)) for a, m in content["tokens"]),
        flops=content["flops"],
        peak_bytes=content["peak_bytes"],
        other_seconds=content["other_seconds"],
    )


def _pictures(folder: Path, study: int, keys: dict[tuple[str, float], Key]) -> Pictures:
    """Pictures stay in the folder until somebody looks at them."""

    def picture(label: str, keep: float, example: str) -> tuple[NDArray[np.int16], bytes] | None:
        with Store(folder, write=False, check=False) as store:
            groups = store.groups(study, keys[label, keep], example)
            thumbnail = store.thumbnail(study, example)
        return None if groups is None or thumbnail is None else (groups, thumbnail)

    return picture
