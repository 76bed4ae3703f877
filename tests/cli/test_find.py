"""`tokenry find`."""

import json
import time


def test_find_prints_the_best_and_what_is_like_it(tokenry):
    done = tokenry("find", "merge", "similar", "image", "tokens")
    assert done.code == 0
    assert done.out.index("tome") < done.out.index("pitome") < done.out.index("zero-tprune")
    assert "Similar to tome: pitome" in done.out


def test_find_like_and_for_machines(tokenry):
    found = json.loads(tokenry("find", "--like", "pitome", "-k", "2", "--json").out)
    assert found[0]["slug"] == "tome"
    assert set(found[0]) == {"slug", "name", "family", "summary", "score", "words"}


def test_nothing_found_and_wrong_usage(tokenry):
    assert "tokenry list" in tokenry("find", "xyzzy").out
    assert tokenry("find").code == 2
    assert "nearest: tome" in tokenry("find", "--like", "tomme").err


def test_find_is_quick(process):
    began = time.perf_counter()
    assert process("find", "merge similar image tokens").code == 0
    print(f"{time.perf_counter() - began:.2f} s")
