"""The search on the page of methods: a box, the script, and the index that it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenry.finder import CardIndex

BOX = """```{{raw}} html
<link rel="stylesheet" href="../_static/find.css">
<script src="../_static/find.js" defer></script>
<script type="application/json" id="find-index">{index}</script>
<div id="find" role="search" hidden>
<input type="search" aria-label="Find a method by what it does" autocomplete="off"
 placeholder="What do you want? For example: merge similar image tokens">
<p class="find-status" role="status"></p>
<ol></ol>
</div>
```"""


def find_box(cards: Sequence[Mapping[str, Any]]) -> str:
    """The box as a Markdown block that Sphinx passes on as it is."""
    return BOX.format(index=embedded(CardIndex(cards).to_dict()))


def embedded(content: Any) -> str:
    """Plain data as JSON on one line that no text in it can end, whatever page it stands in."""
    text = json.dumps(content, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
