"""The codec: values to bytes and back."""

import dataclasses
import enum
import json
import math
import os
import pickle
import subprocess
import sys
import threading
import timeit
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.strategies import examples

from aiflow.errors import RunnerError, StoreError
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored, check_constant


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    return Codec(Blobs(tmp_path / "blobs"))


def same(a: Any, b: Any) -> bool:
    """Compare with types, NaN equal to NaN and -0.0 unlike 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(
            same(x, y) for x, y in zip(a.values(), b.values(), strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


texts = st.text(st.characters(codec=None, categories=None), max_size=20)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    plain | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | st.integers(), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
@example("\ud83d\ude00")
@example({"\ud800": "\0"})
@example(10**5000)
@example([math.nan, -0.0, math.inf, 2**63])
@examples(100)
def test_every_plain_value_comes_back_the_same_with_its_types(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    codec = Codec(Blobs(tmp_path_factory.getbasetemp() / "blobs"), inline=64)
    stored = codec.encode(value, "it")
    assert same(codec.decode(stored), value)
    assert (stored.data is None) == (stored.blob is not None) == (stored.size > 64)


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "json"),
        (True, "json"),
        (3, "json"),
        ("ü", "json"),
        ([1, [2.5, {"a": None}]], "json"),
        ({}, "json"),
        ((), "pickle"),
        ({1: 2}, "pickle"),
        ([(1,)], "pickle"),
        ({"a": Colour.RED}, "pickle"),
        (Text("a"), "pickle"),
        ([Text("a")], "pickle"),
        ({Text("a"): 1}, "pickle"),
        (b"abc", "pickle"),
        (list(range(100_001)), "pickle"),
    ],
    ids=repr,
)
def test_only_what_reads_back_exactly_becomes_json(codec: Codec, value: Any, name: str) -> None:
    stored = codec.encode(value, "it")
    assert stored.codec == name
    assert same(codec.decode(stored), value)
    if name == "json":
        assert json.loads(stored.data or "") == value


def test_a_list_that_holds_itself_comes_back(codec: Codec) -> None:
    value: list[Any] = [1]
    value.append(value)
    back = codec.decode(codec.encode(value, "it"))
    assert back[1] is back


def test_a_deep_list_comes_back_or_is_a_clear_error(codec: Codec) -> None:
    value: Any = None
    for depth in range(1, 100_001):
        value = [value]
        if depth == 90:
            assert codec.encode(value, "it").codec == "json"
        if depth == 150:
            assert codec.decode(codec.encode(value, "it")) == value
    with pytest.raises(RunnerError, match="deep recursion"):
        codec.encode(value, "it")
    while value:  # else freeing it would recurse as deep
        value = value.pop()


def test_large_values_go_into_blobs_and_equal_ones_into_the_same(codec: Codec) -> None:
    small, large, again = (codec.encode(v, "it") for v in ("x" * 16_000, "x" * 17_000, "x" * 17_000))
    assert small.blob is None
    assert large.data is None
    assert large.size == 17_002
    assert large == again
    assert codec.decode(large) == "x" * 17_000


def test_none_is_encoded_in_no_time(codec: Codec) -> None:
    assert min(timeit.repeat(lambda: codec.encode(None, "it"), number=10_000, repeat=5)) / 10_000 < 3e-6


def test_what_cannot_be_serialised_is_named_with_the_way_out(codec: Codec) -> None:
    with pytest.raises(RunnerError, match=r"the value of job 'load' is a _thread\.lock .*persist=False"):
        codec.encode(threading.Lock(), "the value of job 'load'")


def test_what_fails_half_way_leaves_no_file(codec: Codec) -> None:
    with pytest.raises(RunnerError):
        codec.encode([b"x" * 100_000, threading.Lock()], "it")
    assert not [p for p in codec.blobs.root.rglob("*") if p.is_file()]


def test_a_damaged_blob_is_refused_before_it_is_unpickled(codec: Codec, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "canary"),)

    stored = codec.encode((b"x" * 20_000,), "it")
    assert stored.blob is not None
    codec.blobs.path(stored.blob).write_bytes(pickle.dumps(Canary()))
    with pytest.raises(StoreError, match="damaged"):
        codec.decode(stored)
    assert not (tmp_path / "canary").exists()


class Temperatures:
    name = "celsius"

    def handles(self, value: Any) -> bool:
        return isinstance(value, complex)

    def dump(self, value: complex, file: Any) -> None:
        file.write(f"{value.real} {value.imag}".encode() + b" " * 20_000)

    def load(self, file: Any) -> complex:
        return complex(*map(float, file.read().split()))


def test_a_plug_in_writes_the_values_that_it_handles(codec: Codec) -> None:
    own = Codec(codec.blobs, serializers=[Temperatures()])
    stored = own.encode(1 + 2j, "it")
    assert stored.codec == "celsius"
    assert stored.blob is not None
    assert own.decode(stored) == 1 + 2j
    assert own.encode((1,), "it").codec == "pickle"
    with pytest.raises(StoreError, match="'celsius', which is not here: install its plug-in"):
        codec.decode(stored)


def test_constants_are_checked() -> None:
    for good in (1, [1, {"a": (2,)}], {1, 2}, Colour.RED, lambda x: x):
        check_constant(good)
    for bad in (threading.Lock(), [iter(open, 1), (i for i in "")]):
        with pytest.raises(TypeError, match="pickle"):
            check_constant(bad)


# --- classes ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    k: int


def test_objects_come_back_as_their_own_class(codec: Codec) -> None:
    @dataclasses.dataclass
    class Local:
        k: int

    for value in (Row(1), Colour.RED, Local(2)):
        back = codec.decode(codec.encode(value, "it"))
        assert type(back) is type(value)
        assert back == value


WRITER = """
import sys, dataclasses, enum
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec

@dataclasses.dataclass
class Net:
    layers: list
    def size(self):
        return len(self.layers)

class Mode(enum.Enum):
    FAST = 1

codec = Codec(Blobs(sys.argv[1]), inline=0)
if len(sys.argv) == 2:
    print(codec.encode((Net([1, 2]), Mode.FAST), "it").blob)
else:
    from aiflow.values.codec import Stored
    net, mode = codec.decode(Stored("pickle", None, sys.argv[2], 0))
    assert type(net) is Net and mode is Mode.FAST
    print(net.size())
"""


def test_objects_of_a_script_are_read_by_the_next_run_of_it_and_by_anybody_else(codec: Codec, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WRITER)

    def run(*args: str) -> str:
        path = os.pathsep.join(sys.path)
        command = [sys.executable, str(script), str(codec.blobs.root), *args]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
        ).stdout

    digest = run().strip()
    assert run(digest) == "2\n"  # its own classes, by identity
    net, mode = codec.decode(Stored("pickle", None, digest, 0))
    assert (net.layers, net.size(), mode.name) == ([1, 2], 2, "FAST")
