"""An endpoint as a referee, with a server of our own that misbehaves as real ones do."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tokenry.errors import EndpointError, UsageError
from tokenry.plugs.endpoint import KEY, Endpoint, Reply

SECRET = "sk-do-not-tell"  # noqa: S105


def answer(text, top=None, first=()):
    choice = {"message": {"role": "assistant", "content": text}}
    if top is not None:
        listed = [{"token": token, "logprob": score} for token, score in top]
        places = [{"token": token, "logprob": 0.0, "top_logprobs": []} for token in first]
        places.append({"token": text or "?", "logprob": 0.0, "top_logprobs": listed})
        choice["logprobs"] = {"content": places}
    return 200, {"choices": [choice]}


@pytest.fixture
def server():
    """A server that gives scripted answers; the last one again when there are no more."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                found.asked.append((self.path, dict(self.headers), body))
                step = found.script.pop(0) if len(found.script) > 1 else found.script[0]
            status, content, *more = step(body) if callable(step) else step
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in more[0].items() if more else ():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    lock = threading.Lock()
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.asked, found.script = [], []
    found.handle_error = lambda *args: None  # who asked has gone, says the socket
    found.address = f"http://127.0.0.1:{found.server_address[1]}/v1/#tiny"
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def endpoint(server, monkeypatch):
    monkeypatch.setenv(KEY, SECRET)

    def made(*script, **settings):
        server.script = list(script)
        return Endpoint(server.address, **{"pause": 0.0, "timeout": 5, **settings})

    return made


def test_yes_from_log_probabilities(server, endpoint):
    top = [(" Yes", np.log(0.5)), ("yes", np.log(0.1)), ("No", np.log(0.2)), ("Maybe", np.log(0.2))]
    judge = endpoint(answer("Yes", top, first=["\n", "**"]))
    np.testing.assert_allclose(judge.yes(["a?", "b?", "a?"]), [0.75] * 3)
    assert len(server.asked) == 2
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert body["model"] == "tiny"
    assert body["temperature"] == 0
    assert body["logprobs"] is True


def test_options_from_log_probabilities(endpoint):
    judge = endpoint(answer("B", [("B", np.log(0.6)), ("a", np.log(0.2)), ("D", np.log(0.1))]))
    np.testing.assert_allclose(judge.options(["?"], 3), [[0.25, 0.75, 0]])


def test_without_log_probabilities_words_count(endpoint):
    said = {"a": "No match.", "b": "Yes, they match", "c": "hm"}
    judge = endpoint(lambda body: answer(said[body["messages"][0]["content"]]))
    with pytest.warns(UserWarning, match="offers no log-probabilities"):
        np.testing.assert_array_equal(judge.yes(["a", "b", "c"]), [0, 1, np.nan])
    judge = endpoint(answer("The answer is B."))
    with pytest.warns(UserWarning, match="offers no log-probabilities"):
        np.testing.assert_array_equal(judge.options(["a"], 2), [[0, 1]])


def test_fields_that_a_server_refuses_are_left_out(server, endpoint):
    def picky(body):
        for field in ("logprobs", "max_tokens", "temperature"):
            if field in body:
                return 400, {"error": {"message": f"Unsupported parameter: {field}"}}
        return answer("no")

    judge = endpoint(picky, workers=1)
    with pytest.warns(UserWarning, match="offers no log-probabilities"):
        assert judge.yes(["a", "b"]).tolist() == [0, 0]
    assert len(server.asked) == 5
    assert server.asked[-1][2].keys() == {"model", "messages", "max_completion_tokens"}
    assert judge.write(["c"], 7) == ["no"]
    assert server.asked[-1][2]["max_completion_tokens"] == 7


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"error": "slow down"}, {"Retry-After": "0"}),
        (503, b"", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        (200, b"no json"),
        (200, {"choices": []}),
        (200, {"choices": [{"message": None}]}),
        (200, [1]),
    ],
)
def test_faults_that_may_pass_are_tried_again(server, endpoint, fault):
    assert endpoint(fault, fault, answer("so"), workers=1).write(["a"], 3) == ["so"]
    assert len(server.asked) == 3


def test_a_server_that_stays_down_ends_in_words(server, endpoint):
    judge = endpoint((500, {"error": f"bad key {SECRET}"}), retries=2)
    with pytest.raises(EndpointError, match="tried 3 times: 'status 500") as caught:
        judge.write(["a"], 3)
    assert SECRET not in str(caught.value)
    assert len(server.asked) == 3
    judge = endpoint((401, {"error": f"Incorrect API key provided: {SECRET}"}))
    with pytest.raises(EndpointError, match="tried 1 times: 'status 401") as caught:
        judge.yes(["a"])
    assert SECRET not in str(caught.value)


def test_nobody_there(monkeypatch):
    with pytest.raises(EndpointError, match="gave no answer, tried 2 times"):
        Endpoint("http://127.0.0.1:9/v1#m", retries=1, pause=0.0).write(["a"], 1)


def test_a_slow_server_times_out(endpoint):
    stop = threading.Event()
    judge = endpoint(lambda body: stop.wait(5) and answer("late"), timeout=0.1, retries=0)
    with pytest.raises(EndpointError, match="timed out"):
        judge.write(["a"], 1)
    stop.set()


def test_the_key_does_not_follow_a_redirect(server, endpoint):
    judge = endpoint((302, b"", {"Location": server.address.replace("/v1/#tiny", "/other")}))
    with pytest.raises(EndpointError, match="status 302"):
        judge.write(["a"], 1)
    assert len(server.asked) == 1


def test_pauses_double_and_heed_the_server(endpoint, monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    judge = endpoint(
        (500, b""), (429, b"", {"Retry-After": "7"}), (500, b""), answer("so"), pause=1
    )
    assert judge.write(["a"], 1) == ["so"]
    assert [pause for pause in slept if pause >= 1] == [1, 7, 4]


def test_answers_are_kept_for_the_next_run(server, endpoint, tmp_path):
    kept = tmp_path / "answers.jsonl"
    top = [("yes", -0.1), ("no", -3.0)]
    first = endpoint(answer("yes", top), cache=kept).yes(["a", "b"])
    kept.write_text(kept.read_text() + '{"key": "cut', encoding="utf-8")
    judge = endpoint((500, b""), cache=kept, retries=0)
    np.testing.assert_array_equal(judge.yes(["a", "b"]), first)
    assert len(server.asked) == 2
    assert SECRET not in kept.read_text()
    server.script = [answer("new")]
    assert judge.write(["c"], 2) == ["new"]
    assert Reply("new") in Endpoint(server.address, cache=kept)._kept.values()
    assert SECRET not in repr(judge)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///etc/passwd#m", "is no address"),
        ("http://#m", "is no address"),
        ("http://host/v1", "names no model; write http://host/v1#model"),
        ("http://me:secret@host/v1#m", "the address of host holds a password"),
    ],
)
def test_addresses(address, message):
    with pytest.raises(UsageError, match=message) as caught:
        Endpoint(address)
    assert "secret" not in str(caught.value)


def test_a_key_that_is_none(monkeypatch):
    monkeypatch.setenv(KEY, "a\nb")
    with pytest.raises(UsageError, match="holds spaces or control") as caught:
        Endpoint("http://host/v1#m")
    assert "a\nb" not in str(caught.value)
