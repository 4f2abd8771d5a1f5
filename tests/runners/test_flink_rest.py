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


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("flink:8081", "it does not begin with http:// or https://; write 'http://flink:8081'"),
        ("localhost", "it does not begin with http:// or https://; write 'http://localhost:8081'"),
        ("ftp://flink", "write one like 'http://host:8081'"),
        ("http://flink:many", "write one like 'http://host:8081'"),
        ("http://flink:0", "write one like 'http://host:8081'"),
        ("http://me:secret@flink:8081", "write one like 'http://host:8081'"),
        ("http://", "write one like 'http://host:8081'"),
        ("", "write one like 'http://host:8081'"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(address: str, what: str) -> None:
    with pytest.raises(FlinkError) as refused:
        FlinkRest(address)
    assert str(refused.value) == f"{address!r} is no address of a Flink cluster: {what}"


def test_an_address_without_a_port_means_that_of_its_scheme_and_says_so() -> None:
    for address, port in ("http://flink", 80), ("https://flink/", 443):
        found = FlinkRest(address).address
        assert (found.port, str(found)) == (port, f"{address.rstrip('/')} (port {port}, for it names none)")
    assert str(FlinkRest("http://flink:80/prefix/").address) == "http://flink:80/prefix"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (504, "<html>Gateway</html>"),
        (502, "{}"),
        (500, '{"errors": ["java.util.concurrent.TimeoutException: Ask timed out"]}'),
    ],
)
def test_a_cluster_that_waits_in_vain_for_a_part_of_itself_is_asked_again(url: str, status: int, text: str) -> None:
    Answers.status, Answers.text = status, text
    with pytest.raises(Unreachable, match="is not ready"):
        FlinkRest(url).jobs()


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
