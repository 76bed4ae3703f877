"""
Which patches became one token
==============================

A method decides from the picture which patches share a token. Here: the same emoji drawing with
fewer and fewer tokens; patches of one colour ended in one token.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import tokenry
import tokenry.data
import tokenry.zoo

loaded = tokenry.zoo.load("zoo:dinov2-small-saliency")
example = next(e for e in tokenry.data.load("emoji:google") if e.label == "giraffe")
pixels = loaded.processor(example.image(), return_tensors="pt").pixel_values

# %%
# ``attachment.trace.origin`` holds the row that each original token ended in; the class token
# comes first. Group numbers say nothing, so colours are given at random.


def groups(method, keep):
    """The row that each patch ended in, on the grid of patches, and how many rows there are."""
    with torch.no_grad(), tokenry.attach(loaded.model, method, keep=keep) as attachment:
        loaded.model(pixel_values=pixels)
    trace = attachment.trace
    rows = trace.origin[0, trace.protected :].reshape(trace.grid).numpy()
    return rows, len(np.unique(rows))


colours = np.random.default_rng(0).uniform(0.1, 0.95, (400, 3))
figure, axes = plt.subplots(2, 4, figsize=(9, 5), layout="constrained")
for line, method in zip(axes, ("pitome", "tome"), strict=True):
    line[0].imshow(example.image())
    line[0].set_title(f"{method}:")
    for axis, keep in zip(line[1:], (0.75, 0.5, 0.25), strict=True):
        rows, count = groups(method, keep)
        axis.imshow(colours[rows])
        axis.set_title(f"keep={keep}: {count} tokens")
for axis in axes.flat:
    axis.set_axis_off()
