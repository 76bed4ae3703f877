"""Train small models on packs of short documents, by the mask that they see, from three seeds.

Documents are the docstrings of Python's library that have 32 to 192 bytes; 300 of them are held
out. The arms are one shared first token, documents apart with positions of their own, and the
whole pack; all read the same packs. The losses on the held-out documents, each on its own, are
printed; the models of the first and the last arm are kept in half precision, and the documents.

Run from the repository root (about three minutes on one core):

    python recipes/anchor_toy.py
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import sysconfig
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tokenry.cache import AnchorAttention
from tokenry.plugs.packing import PackingCollator

BOS, HELD, STEPS = 256, 300, 300
SEEDS = (0, 1, 2)
ARMS = {
    "anchor": AnchorAttention(),
    "intra": AnchorAttention(pattern="intra", positions="reset"),
    "full": AnchorAttention(pattern="full"),
}
OUT = Path(__file__).parents[1] / "tests" / "cache" / "tiny_anchor"

Document = list[int]


def documents() -> list[Document]:
    """Bytes of the docstrings, in random order."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = (ast.get_docstring(node) or "").encode()
                if 32 <= len(text) <= 192:
                    found.append(list(text))
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0)).tolist()
    return [found[i] for i in order]


def made(seed: int) -> LlamaForCausalLM:
    """A two-layer Llama before training.

    Weights begin with a variance of 1 / width. From transformers' own 0.02, a model this small
    may stay on the plateau of letter pairs for most of the steps, by chance of the seed.
    """
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=257,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            bos_token_id=BOS,
            initializer_range=0.125,
        )
    )


def train(
    model: LlamaForCausalLM,
    method: AnchorAttention,
    texts: list[Document],
    seed: int,
    steps: int = STEPS,
) -> LlamaForCausalLM:
    """The model after so many packs of 512 bytes, sixteen documents a step."""
    collator = PackingCollator.for_model(model, length=512, method=method)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    chance = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(texts), (16,), generator=chance).tolist()
        optimizer.zero_grad()
        model(**collator([texts[i] for i in chosen])).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def losses(model: LlamaForCausalLM, texts: list[Document]) -> np.ndarray:
    """Mean loss per byte of each document behind its own first token."""
    found = []
    for text in texts:
        ids = torch.tensor([[BOS, *text]])
        found.append(model(ids, labels=ids).loss)
    return torch.stack(found).numpy()


def gain(worse: np.ndarray, better: np.ndarray) -> tuple[float, float]:
    """Mean difference of two losses of the same documents, and half its 95 % interval."""
    found = worse - better
    return float(found.mean()), float(1.96 * found.std() / len(found) ** 0.5)


def held(out: Path = OUT) -> list[Document]:
    """The documents that no model has read."""
    with (out / "held.jsonl").open(encoding="utf-8") as lines:
        return [list(json.loads(line).encode()) for line in lines]


def shipped(arm: str, seed: int, out: Path = OUT) -> LlamaForCausalLM:
    """A model as it was written: of the arm `anchor` or `full`."""
    folder = out / f"{arm}-{seed}"
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def main() -> None:
    """Train all, write the held-out documents and the models, and print what each arm gains."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    texts = documents()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(bytes(x).decode(), ensure_ascii=False) + "\n" for x in texts[:HELD]]
    (args.out / "held.jsonl").write_text("".join(lines), encoding="utf-8")
    for seed in SEEDS:
        found = {}
        for arm, method in ARMS.items():
            model = train(made(seed), method, texts[HELD:], seed, args.steps)
            found[arm] = losses(model, texts[:HELD])
            if arm != "intra":
                model.half().save_pretrained(args.out / f"{arm}-{seed}")
        sys.stdout.write(f"seed {seed}: anchor {found['anchor'].mean():.3f}")
        for arm in ("intra", "full"):
            mean, half = gain(found[arm], found["anchor"])
            sys.stdout.write(f", {arm} {mean:+.4f} [+-{half:.4f}]")
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
