"""An encoder that is trained as a whole to tell texts on a theme from others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from tokenry.method import Train
from tokenry.method.finder import Score
from tokenry.plugs.classifier_tuning import fresh_classifier, tune_head


def theme_trainer(
    source: Any,
    *,
    epochs: int = 3,
    batch_size: int = 16,
    rate: float = 5e-5,
    device: str | None = None,
    seed: int = 0,
) -> Train:
    """What `ThemeFinder.learn` trains with: a text model as a whole, under a head of two labels.

    The cross-entropy in which both labels weigh the same, however few texts are on the theme.

    Args:
        source: `zoo:NAME`, a folder, or a name on the Hub; safetensors only.
        epochs: How often each text is read.
        batch_size: Texts of a step; all of them where there are fewer.
        rate: Highest learning rate.
        device: Where it runs.
        seed: Of the head, the order and dropout.

    Raises:
        UsageError: When it trains, if a number is out of range or the model cannot be loaded.

    Source: Devlin et al. 2019, section 4.1 and appendix A.3, for the settings.
    """

    def train(texts: Sequence[str], on_theme: Bool[np.ndarray, " n"]) -> Score:
        classifier = fresh_classifier(source, ("off", "on"), device=device, seed=seed)
        size = min(batch_size, len(texts))
        tune_head(
            classifier,
            [(text, None) for text in texts],
            on_theme.astype(int).tolist(),
            steps=math.ceil(epochs * len(texts) / max(size, 1)),
            batch_size=size,
            rate=rate,
            balanced=True,
            seed=seed,
        )

        def score(new: Sequence[str]) -> Float[np.ndarray, " n"]:
            shares: Float[np.ndarray, " n"] = classifier(new)[:, 1]
            return shares

        return score

    return train
