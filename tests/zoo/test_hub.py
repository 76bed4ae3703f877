"""Names on the Hub when nobody answers there: told at once, whatever is asked for."""

import huggingface_hub.constants
import pytest

from tokenry.errors import UnknownNameError, UsageError
from tokenry.zoo import hub, load
from tokenry.zoo.hub import check_hub
from tokenry.zoo.loading import check_name


@pytest.mark.parametrize("name", ["facebook/dinov2-small", "no-such-model"])
def test_a_hub_that_does_not_answer_is_asked_once(silent_hub, name):
    with pytest.raises(UsageError, match=r"does not answer.*a zoo model: zoo:.*HF_HUB_OFFLINE=1"):
        load(name)
    assert silent_hub == [huggingface_hub.constants.ENDPOINT]


@pytest.mark.parametrize("name", ["a b", "./no/such/folder", "/nowhere/model", "a/b/c", "m.git"])
def test_a_name_that_no_model_has_there_is_not_asked_for(silent_hub, name):
    with pytest.raises(UsageError, match="cannot be loaded; tried a local folder"):
        check_name(name)
    assert not silent_hub


def test_zoo_names_and_folders_need_no_hub(silent_hub, tmp_path):
    check_name("zoo:minilm-l6")
    check_name(str(tmp_path))
    with pytest.raises(UnknownNameError, match="nearest: zoo:minilm-l6"):
        check_name("zoo:minilm")
    assert not silent_hub


def test_what_was_downloaded_needs_no_hub(silent_hub, tmp_path):
    place = tmp_path / "models--some--model"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc" / "inner").mkdir(parents=True)
    (place / "snapshots" / "abc" / "config.json").write_text("{}")
    check_hub("some/model", {"cache_dir": tmp_path, "local_files_only": False})
    check_hub("other/model", {"cache_dir": tmp_path, "local_files_only": True})
    for settings in ({"subfolder": "inner"}, {"revision": "v2"}):
        with pytest.raises(ConnectionError, match="does not answer"):
            check_hub("some/model", {"cache_dir": tmp_path, **settings})


def test_an_answer_of_any_kind_is_enough_and_remembered(silent_hub, monkeypatch):
    class Client:
        def head(self, address, timeout):
            silent_hub.append(address)

    monkeypatch.setattr(huggingface_hub, "get_session", Client)
    check_hub("some/model", {})
    check_hub("other/model", {})
    assert len(silent_hub) == 1
    hub._reach.cache_clear()
