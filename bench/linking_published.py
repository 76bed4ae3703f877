"""F1 in per cent that papers report on the entity-matching sets, and where each figure is from.

DeepMatcher is its hybrid model (Mudgal et al. 2018); its figures and those of Ditto (Li et al.
2021) on Amazon-Google and Abt-Buy are those that paperswithcode.com lists on the pages of the two
papers, "deep-learning-for-entity-matching-a-design" and "deep-entity-matching-with-pre-trained".

DeepMatcher+ is the best of DeepMatcher and its followers as Ditto's authors report it. It and
Ditto's other figures are quoted from two papers that repeat them: Ge et al., CollaborER (arXiv
2108.08090), table 3, and Paganelli et al., Analyzing How BERT Performs Entity Matching (PVLDB
15(8), 2022), table 2. Where those two differ both stand; Walmart-Amazon is in the second alone.
"""

from __future__ import annotations

PUBLISHED: dict[str, dict[str, float | str]] = {
    "Structured/Beer": {"DeepMatcher+": 78.8, "Ditto": 94.37},
    "Structured/Fodors-Zagats": {"DeepMatcher+": 100.0, "Ditto": 100.0},
    "Structured/iTunes-Amazon": {"DeepMatcher+": 91.2, "Ditto": "97.06 or 97.80"},
    "Textual/Abt-Buy": {"DeepMatcher": 62.8, "DeepMatcher+": 62.8, "Ditto": "89.33 or 89.79"},
    "Structured/Amazon-Google": {"DeepMatcher": 69.3, "DeepMatcher+": 70.7, "Ditto": 75.58},
    "Structured/DBLP-ACM": {"DeepMatcher+": 98.45, "Ditto": "98.99 or 99.17"},
    "Structured/Walmart-Amazon": {"DeepMatcher+": 73.6, "Ditto": 86.76},
}
