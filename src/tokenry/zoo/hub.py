"""Names on the Hugging Face Hub, and whether anybody answers there, before anything waits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any


def check_hub(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse what the Hub cannot hold, or cannot give now.

    Its client asks again for half a minute where there is no network. What is in its cache needs
    none.

    Args:
        name: Of a model that is neither in the zoo nor a folder.
        settings: For `from_pretrained`, of which `cache_dir`, `local_files_only`, `revision` and
            `subfolder` say where the model may be already.

    Raises:
        ValueError: If no model of the Hub can have this name.
        ConnectionError: If the model is not in the cache, and the Hub does not answer.
    """
    from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache

    rules: Any = import_module("huggingface_hub.utils")
    rules.validate_repo_id(name)
    if settings.get("local_files_only") or is_offline_mode():
        return
    file = "/".join(part for part in (settings.get("subfolder"), "config.json") if part)
    where = {key: settings.get(key) for key in ("cache_dir", "revision")}
    if try_to_load_from_cache(name, file, **where) is None:
        _reach(constants.ENDPOINT)


@cache
def _reach(address: str) -> None:
    """Ask once, and never again where there was an answer of any kind."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(address, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # of whichever HTTP client the Hub's library brings
        raise ConnectionError(f"{address} does not answer ({error})") from error
