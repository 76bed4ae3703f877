"""The cache under both of its names."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from tokenry.plugs.past import CACHE, NAMES, cache_in, put_cache


def test_a_model_takes_and_returns_it_under_this_name(language):
    model = language().model
    cache, ids = DynamicCache(config=model.config), torch.arange(5)[None]
    output = model(ids, **{CACHE: cache}, use_cache=True)
    assert output[CACHE] is cache
    assert cache.get_seq_length() == ids.shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_and_replaced_under_either(name):
    arguments = {name: "given", "use_cache": True}
    assert cache_in(arguments) == "given"
    put_cache(arguments, "ours")
    assert arguments == {CACHE: "ours", "use_cache": True}


def test_none_is_no_cache():
    assert cache_in({"cache": None}) is None
    assert cache_in({}) is None
