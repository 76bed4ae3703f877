"""
Score against seconds
=====================

A small comparison, as a plot: up is closer to the untouched model, left is faster. Bars are 95 %
intervals. With so few pictures most of it is noise; the point is the form.
"""

import matplotlib.pyplot as plt

import tokenry

results = tokenry.compare(
    "zoo:dinov2-small-saliency",
    ["pitome", "tome", "pool", "random"],
    "emoji",
    keep=0.5,
    limit=8,
    batch_size=2,
    progress=False,
)

# %%
# ``summary()`` has one entry for each method and ``keep``, statistics included.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for row in results.summary():
    x, y = row.seconds, row.score
    bars = {
        "xerr": [[1000 * (x.value - x.low)], [1000 * (x.high - x.value)]],
        "yerr": [[y.value - y.low], [y.high - y.value]],
    }
    label = f"{row.method}, keep={row.keep:g}: {row.faster}"
    axes.errorbar(1000 * x.value, y.value, **bars, fmt="o", capsize=3, label=label)
axes.set(xlabel="milliseconds per picture", ylabel="agreement with the untouched model")
axes.legend()
