"""Train Orma on molecules that rdkit carries, and say what its grains bring.

    python recipes/orma_toy.py      # writes bench/results/orma.json and tests/golden/orma; minutes

Molecules are from the NCI's first 5,000 (`rdkit/Data/NCI/first_5K.smi`); their descriptions say
what rdkit counts in them, in random order, such as "two benzene rings, one nitro group". Each
description occurs once. The same encoders are trained with wholes alone, with three grains, and
with the released rule of transport.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from pathlib import Path
from typing import Any

import torch
from rdkit import Chem, RDConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tokenry.errors import DataError
from tokenry.plugs.molecules import described, graphs
from tokenry.plugs.text_molecule import TextMolecule
from tokenry.retrieval import Orma

WEIGHTS = Path(__file__).parents[1] / "tests" / "golden" / "orma"
RESULTS = Path(__file__).parents[1] / "bench" / "results" / "orma.json"
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
TEST, BATCH, WIDTH = 120, 16, 32
METHODS = {
    "wholes alone": Orma(whole=1.0, mid=0.0),
    "three grains": Orma(),
    "released rule": Orma(rule="least"),
}
Counts = dict[str, int]


def molecules() -> list[tuple[str, Counts]]:
    """Molecules of 8 to 18 atoms with two to four things to say, each description once."""
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    found: dict[tuple[tuple[str, int], ...], tuple[str, Counts]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        smiles = line.split()[0]
        read = Chem.MolFromSmiles(smiles)
        if read is None or "." in smiles or not 8 <= read.GetNumAtoms() <= 18:
            continue
        try:
            counts = described(smiles)
        except DataError:
            continue
        if 2 <= len(counts) <= 4:
            found.setdefault(tuple(sorted(counts.items())), (smiles, counts))
    return list(found.values())


def caption(counts: Counts, draw: random.Random) -> str:
    """What a molecule has, in words and in random order."""
    parts = [
        f"{NUMBERS[min(count, 10)]} {name}{'s' if count > 1 else ''}"
        for name, count in counts.items()
    ]
    draw.shuffle(parts)
    return "the molecule has " + " , ".join(parts)


def swapped(counts: Counts, every: list[str], draw: random.Random) -> Counts:
    """The same with one thing replaced by another that the molecule does not have."""
    gone = draw.choice(list(counts))
    new = draw.choice([name for name in every if name not in counts])
    return {new if name == gone else name: count for name, count in counts.items()}


def reader(texts: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of words."""
    words = sorted({word for text in texts for word in text.split()})
    vocab = {word: at for at, word in enumerate(["<pad>", "<unk>", *words])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))  # noqa: S106
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>")  # noqa: S106


class Study:
    """Molecules, captions, and what trains and tests on them."""

    def __init__(self, steps: int) -> None:
        draw = random.Random(0)
        every = molecules()
        draw.shuffle(every)
        self.test, self.train = every[:TEST], every[TEST:]
        self.names = sorted({name for _, counts in every for name in counts})
        plain = [f"{n} {name} {name}s , the molecule has" for name in self.names for n in NUMBERS]
        self.read = reader(plain)
        self.steps = steps

    def encoded(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Texts as an encoder takes them."""
        found = self.read(texts, padding=True, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def new(self) -> TextMolecule:
        """Both encoders, before training."""
        size: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 3, "intermediate_size": 96}
        config = BertConfig(vocab_size=len(self.read), num_attention_heads=4, **size)
        return TextMolecule(BertModel(config, add_pooling_layer=False), WIDTH)

    def trained(self, method: Orma, seed: int) -> TextMolecule:
        """Both encoders, trained from nothing."""
        torch.manual_seed(seed)
        draw = random.Random(seed)
        model = self.new().train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda at: 0.5 * (1 + math.cos(math.pi * at / self.steps))
        )
        for step in range(self.steps):
            rows = draw.sample(self.train, BATCH)
            texts = [caption(counts, draw) for _, counts in rows]
            batch = model(self.encoded(texts), graphs([smiles for smiles, _ in rows]))
            losses = method.loss(batch)
            optimiser.zero_grad()
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            rate.step()
            if step % 100 == 0:
                sys.stdout.write(f"  step {step}: loss {losses.total.item():.3f}\n")
                sys.stdout.flush()
        return model.eval()

    @torch.no_grad()
    def tested(self, model: TextMolecule, method: Orma) -> dict[str, float]:
        """How often the right one is first, and the true caption above a swapped one."""
        draw = random.Random(1)
        texts = [caption(counts, draw) for _, counts in self.test]
        others = [caption(swapped(c, self.names, draw), draw) for _, c in self.test]
        scores = self.scored(model, method, texts)
        wrong = self.scored(model, method, others)
        own = scores.diagonal()
        ranks = (scores > own[:, None]).sum(1), (scores > own[None]).sum(0)
        found = {"text_to_molecule_hits@1": (ranks[0] == 0).float().mean().item()}
        found["molecule_to_text_hits@1"] = (ranks[1] == 0).float().mean().item()
        found["text_to_molecule_mrr"] = (1 / (1 + ranks[0])).mean().item()
        found["true_caption_above_swapped"] = (own > wrong.diagonal()).float().mean().item()
        return {name: round(value, 3) for name, value in found.items()}

    def scored(self, model: TextMolecule, method: Orma, texts: list[str]) -> torch.Tensor:
        """All texts with all test molecules, some texts at a time."""
        seen = graphs([smiles for smiles, _ in self.test])
        parts = [texts[at : at + 20] for at in range(0, len(texts), 20)]
        return torch.cat(
            [method.blended(method.scores(model(self.encoded(part), seen))) for part in parts]
        )


def main() -> None:
    """Train, test, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    study = Study(given.steps)
    rows = []
    for name, method in METHODS.items():
        for seed in range(given.seeds):
            sys.stdout.write(f"{name}, seed {seed}\n")
            model = study.trained(method, seed)
            found = study.tested(model, method)
            if seed == 0:
                WEIGHTS.mkdir(parents=True, exist_ok=True)
                half = {key: value.half() for key, value in model.state_dict().items()}
                save_file(half, WEIGHTS / f"{name.replace(' ', '-')}.safetensors")
            rows.append({"objective": name, "seed": seed, **found})
            sys.stdout.write(f"  {found}\n")
            sys.stdout.flush()
    block = {"molecules_trained_on": len(study.train), "tested_on": TEST, "steps": given.steps}
    environment = {"torch": torch.__version__, "batch": BATCH, "width": WIDTH}
    result = {"retrieval": [{**block, "rows": rows}], "environment": environment}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
