"""Addresses where no Flink is. What a real cluster answers is tested in tests/flink."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from aiflow.errors import FlinkError
from aiflow.runners.flink_rest import FlinkRest, Unreachable


class Answers(http.server.BaseHTTPRequestHandler):
    """A server of something else."""

    status, text = 200, "<html>Welcome!</html>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("address", ["flink:8081", "localhost", "ftp://flink", "http://flink:many", ""])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(FlinkError, match="is no address of a Flink cluster; it looks like 'http://host:8081'"):
        FlinkRest(address)


def test_an_address_where_nobody_answers_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match=f"no Flink cluster answers at http://127.0.0.1:{port}: .*refused"):
        FlinkRest(f"http://127.0.0.1:{port}/").jobs()
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unreachable, match="timed out"):
        FlinkRest(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.05).jobs()


@pytest.mark.parametrize(
    ("status", "text"), [(200, "<html>Welcome!</html>"), (404, "not here"), (200, "[1]"), (200, "{}")]
)
def test_a_server_of_something_else_is_said_to_be_no_cluster(url: str, status: int, text: str) -> None:
    Answers.status, Answers.text = status, text
    with pytest.raises(FlinkError, match="is no Flink cluster") as refused:
        FlinkRest(url).jobs()
    assert not isinstance(refused.value, Unreachable)


def test_a_cluster_that_is_not_ready_is_unreachable(url: str) -> None:
    Answers.status, Answers.text = (
        503,
        '{"errors": ["Service temporarily unavailable due to an ongoing leader election."]}',
    )
    with pytest.raises(Unreachable, match="is not ready: Service temporarily unavailable"):
        FlinkRest(url).jobs()
