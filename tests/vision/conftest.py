"""What tests of vision methods share: one layer's view, a real and a trained encoder, a file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, interpolate

from tokenry.method import Heads, LayerView
from tokenry.plugs.attach import attach

GOLDEN = Path(__file__).parents[1] / "golden" / "vision.json"
REMAKE = "TOKENRY_GOLDEN=remake python -m pytest tests/vision -k golden"


@pytest.fixture(scope="session")
def look():
    """Build the view of a layer from its keys: `look(keys, count)`, keys `(b, h, n, e)`."""

    def look(keys, count, *, queries=None, protected=1, layer=0, depth=12, valid=None):
        b, _, n, e = keys.shape
        return LayerView(
            layer=layer,
            depth=depth,
            grid=(1, n - protected),
            protected=protected,
            count=count,
            size=torch.ones(b, n, 1),
            valid=valid,
            origin=torch.arange(n).expand(b, -1),
            heads=Heads(torch.zeros_like(keys) if queries is None else queries, keys, e**-0.5),
            bias=None,
            memory={},
        )

    return look


@pytest.fixture(scope="session")
def closeness():
    """Cosine to the untouched model's embedding, of 48 drawings in the zoo's DINOv2.

    `closeness(method)` is one number per drawing; each method is run once.
    """
    from tokenry import data, zoo

    loaded = zoo.load("zoo:dinov2-small-saliency")
    drawings = [example.image() for example in data.load("emoji").limit(48)]
    pixels = np.stack(loaded.processor(images=drawings)["pixel_values"])
    batches = torch.as_tensor(pixels).split(16)

    @torch.no_grad()
    def embed():
        return torch.cat([loaded.model(batch).pooler_output for batch in batches])

    untouched = embed()
    seen = {}

    def closeness(method):
        if method not in seen:
            with attach(loaded.model, method):
                seen[method] = cosine_similarity(embed(), untouched).double().numpy()
        return seen[method]

    return closeness


@pytest.fixture(scope="session")
def interval():
    """Mean of paired differences and its 95 % bootstrap interval: `mean, low, high`."""

    def interval(differences):
        rng = np.random.default_rng(0)
        means = rng.choice(differences, (10_000, len(differences))).mean(1)
        return differences.mean(), *np.quantile(means, (0.025, 0.975))

    return interval


@pytest.fixture
def golden():
    """Compare values with the stored ones, or store them: `golden("tome", values)`.

    Integers must be equal; floats agree to 1e-5.
    """

    def golden(name, values):
        stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        if os.environ.get("TOKENRY_GOLDEN") == "remake":
            made = {"command": REMAKE, "torch": torch.__version__, **values}
            stored = dict(sorted({**stored, name: made}.items()))
            lines = [f"{json.dumps(key)}: {json.dumps(entry)}" for key, entry in stored.items()]
            GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        expected = {key: stored[name][key] for key in values}
        for key, value in expected.items():
            exact = not isinstance(value, float)
            assert values[key] == (value if exact else pytest.approx(value, rel=1e-5)), key

    return golden


@pytest.fixture(scope="session")
def digit_reader():
    """A small ViT trained here on handwritten digits, about half a minute.

    `digit_reader(method)` says for each of 600 unseen digits whether it was read right, how far
    the class probabilities moved (divergence from the untouched model's, in nats), and what share
    of the untouched model's multiplications was made.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels = torch.as_tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    pixels = interpolate(pixels, size=32, mode="bilinear")
    labels = torch.as_tensor(labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    test, train = order[:600], order[600:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as fast as two for matrices this small, and much faster when shared
    model = trained_vit(pixels[train], labels[train], seed=0)
    torch.set_num_threads(threads)

    with torch.no_grad():
        untouched = model(pixels[test]).logits.double().log_softmax(-1)

    @torch.no_grad()
    def read(method):
        with attach(model, method) as attachment:
            found = model(pixels[test]).logits.double().log_softmax(-1)
        right = found.argmax(-1) == labels[test]
        moved = (untouched.exp() * (untouched - found)).sum(-1)
        tokens = attachment.trace.tokens
        share = multiplications(tokens) / multiplications([(65, 65)] * len(tokens))
        return right.double().numpy(), moved.numpy(), share

    return read


WIDTH, INNER = 96, 192


def multiplications(tokens):
    """Of all layers: projections and scores for the rows before, the MLP for the rows after."""
    return sum(4 * a * WIDTH**2 + 2 * a**2 * WIDTH + 2 * m * WIDTH * INNER for a, m in tokens)


def trained_vit(pixels, labels, seed, epochs=8, batch=32, rate=1.5e-3):
    """Six layers, 64 patches; shifts by up to a pixel of 32 as augmentation."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=32,
        patch_size=4,
        num_channels=1,
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=INNER,
        num_labels=10,
        initializer_range=WIDTH**-0.5,  # the default of 0.02 takes three times as long to train
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ViTForImageClassification(config).train()
        steps = len(labels) // batch
        adam = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.05)
        plan = torch.optim.lr_scheduler.OneCycleLR(
            adam, rate, total_steps=epochs * steps, pct_start=0.15
        )
        for _ in range(epochs):
            for chosen in torch.randperm(len(labels))[: steps * batch].split(batch):
                shift = torch.randint(-1, 2, (2,)).tolist()
                moved = torch.roll(pixels[chosen], shift, (2, 3))
                model(pixel_values=moved, labels=labels[chosen]).loss.backward()
                adam.step()
                plan.step()
                adam.zero_grad()
    return model.eval()
