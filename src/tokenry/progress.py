"""What `progress` means wherever something lasts."""

from __future__ import annotations


def bar_hidden(progress: bool | None) -> bool | None:
    """What tqdm's `disable` has to be: with None, a bar is shown on a terminal only.

    >>> bar_hidden(True), bar_hidden(False), bar_hidden(None)
    (False, True, None)
    """
    return None if progress is None else not progress
