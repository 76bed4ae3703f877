"""
One share, three schedules
==========================

``keep`` says how much work is left, a schedule says where it is saved. All three lines below
process the same mean share of tokens: 0.6 of 257 rows over 12 layers.
"""

import matplotlib.pyplot as plt

from tokenry.ops.budget import Budget

budget = Budget(tokens=257, protected=1, depth=12, layers=tuple(range(12)), middle=True)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for schedule in ("constant", "linear", "ratio"):
    counts = budget.counts(keep=0.6, spread=schedule)
    label = f"{schedule}: share {budget.share(counts):.3f}"
    axes.step(range(13), [257, *counts], where="post", label=label)
axes.set(xlabel="layers done", ylabel="rows left", ylim=(0, 270))
axes.legend()

# %%
# "constant" removes the same number in each layer, as ToMe's *r* does. "linear" removes most in
# the first layers, "ratio" the same share of what is left. The later a schedule removes, the more
# it must remove to come to the same share.
