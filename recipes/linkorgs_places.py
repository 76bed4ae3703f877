"""Train a metric of names on a made-up log of aliases of real cities, and see what it finds.

Cities with many inhabitants are typed as GeoNames has their names; counts follow Zipf's law. A
tenth of the names of each city, in scripts of which others are seen, is never typed. Each of them
is then searched among the names that were: is the nearest one the same city's?

Run from the repository root (some ten minutes on one core):

    python recipes/linkorgs_places.py
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from tokenry.data import AliasBase, Entity, load_aliases
from tokenry.ops.name_distance import FuzzyDistance, VectorDistance
from tokenry.plugs.name_metric import name_encoder, train_names

WEIGHTS = Path(__file__).parents[1] / "tests/linking/tiny_names"
SIZES = {"width": 64, "layers": 2, "heads": 4}


def script(name: str) -> str:
    """The script of the letters of a name; several joined by a plus sign."""
    found = {unicodedata.name(one, "?").split()[0] for one in name if one.isalpha()}
    return "+".join(sorted(found))


def parted(least: int, seed: int = 0) -> tuple[AliasBase, list[tuple[str, str]]]:
    """Cities without a tenth of their names, and these names with their cities."""
    cities = load_aliases("cities", least=least)
    draw = np.random.default_rng(seed)
    common = Counter(script(name) for one in cities for name in one.names)
    seen, hidden = [], []
    for one in cities:
        names = sorted({name.lower() for name in one.names if common[script(name)] >= 300})
        drawn = draw.random(len(names)) < 0.1
        kept = tuple(name for name, out in zip(names, drawn, strict=True) if not out)
        title = one.title.lower()
        kept = (title, *(name for name in kept if name != title))
        seen.append(Entity(id=one.id, names=kept, prior=one.prior))
        hidden += [(n, one.id) for n, o in zip(names, drawn, strict=True) if o and n != title]
    known = {name for one in seen for name in one.names}
    # The same name may be another city's, and then it was seen.
    fresh = [(name, who) for name, who in hidden if name not in known]
    return AliasBase("cities", tuple(seen), cities.license, cities.source), fresh


def hits(
    far: FuzzyDistance | VectorDistance, own: list[str], shelf: list[str], step: int = 256
) -> np.ndarray:
    """Whether the nearest name is the same city's; of equally near ones, the share that are."""
    found = []
    owners = np.array(shelf)
    for at in range(0, far.shape[0], step):
        tile = far.tile(slice(at, at + step), slice(0, far.shape[1]))
        best = tile <= tile.min(1, keepdims=True) + 1e-9
        same = owners[None, :] == np.array(own[at : at + step])[:, None]
        found.append((best & same).sum(1) / best.sum(1))
    return np.concatenate(found)


def compare(encoder: Any, base: AliasBase, hidden: list[tuple[str, str]]) -> dict[str, object]:
    """Share of names whose nearest title is the right one, by metric and by script."""
    names, own = [n for n, _ in hidden], [who for _, who in hidden]
    titles, shelf = [one.title for one in base], [one.id for one in base]
    learned = hits(VectorDistance(encoder.encode(names), encoder.encode(titles)), own, shelf)
    fuzzy = hits(FuzzyDistance(names, titles), own, shelf)
    latin = np.array([script(name) == "LATIN" for name in names])
    draw = np.random.default_rng(0)
    gaps = [
        float((learned - fuzzy)[draw.integers(0, len(fuzzy), len(fuzzy))].mean())
        for _ in range(2000)
    ]
    return {
        "names": len(names),
        "latin": int(latin.sum()),
        "learned": [
            float(learned.mean()),
            float(learned[latin].mean()),
            float(learned[~latin].mean()),
        ],
        "fuzzy": [float(fuzzy.mean()), float(fuzzy[latin].mean()), float(fuzzy[~latin].mean())],
        "difference": [float(g) for g in np.quantile(gaps, [0.025, 0.975])],
    }


def restored(base: AliasBase, folder: Path = WEIGHTS) -> Any:
    """The encoder with the weights that ship."""
    encoder = name_encoder([name for one in base for name in one.names], **SIZES)
    weights = load_file(folder / "model.safetensors")
    encoder.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    return encoder


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--least", type=int, default=500_000, help="inhabitants of a city")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    base, hidden = parted(args.least)
    log = base.log(400_000, exponent=0.5, seed=0)
    encoder = name_encoder([name for one in base for name in one.names], **SIZES)
    done = train_names(
        encoder, log["alias"], log["id"], log["count"], steps=args.steps, progress=True
    )
    args.out.mkdir(parents=True, exist_ok=True)
    half = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    save_file(half, args.out / "model.safetensors")
    figures = compare(restored(base, args.out), base, hidden)
    figures |= {"bias": done.bias, "slope": done.slope, "loss": float(np.mean(done.losses[-100:]))}
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1), f"{done.seconds:.0f} s")


if __name__ == "__main__":
    main()
