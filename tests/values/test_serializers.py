"""Values of numpy, pandas, pyarrow, scikit-learn and PyTorch: what comes back, in which format, and what it costs."""

import gc
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from aiflow.errors import StoreError
from aiflow.values import apart
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored

numpy: Any = pytest.importorskip("numpy")
pandas: Any = pytest.importorskip("pandas")
pyarrow: Any = pytest.importorskip("pyarrow")
LARGE = 20_000_000
"""Bytes from which on files are mapped, and some more."""


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    return Codec(Blobs(tmp_path / "blobs"))


def back(codec: Codec, value: Any, *names: str) -> Any:
    stored = codec.encode(value, "it")
    assert stored.codec in names
    return codec.decode(stored)


# --- numpy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(12).reshape(3, 4),
        numpy.zeros((0, 3)),
        numpy.array(1.5),
        numpy.asfortranarray(numpy.eye(3)),
        numpy.arange(10)[::2],
        numpy.array(["a", "bc"]),
        numpy.array([b"a", b"bc"]),
        numpy.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
        numpy.array([1, 2], dtype=">i4"),
        numpy.array([1.5, numpy.nan], dtype="f2"),
        numpy.array([True, False]),
        numpy.array([1j]),
        numpy.zeros(3, dtype=[("x", "i4"), ("ü", "f8", (2,))]),
        numpy.zeros(2, dtype={"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 16], "itemsize": 32}),
        numpy.zeros(1, dtype=[(f"field number {n}", "f8") for n in range(2000)]),
    ],
    ids=lambda array: f"{str(array.dtype)[:20]} {array.shape} {array.strides}",
)
def test_arrays_come_back_with_their_type_shape_and_order(codec: Codec, array: Any) -> None:
    found = back(codec, array, "npy")
    assert type(found) is numpy.ndarray
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    assert repr(found.tolist()) == repr(array.tolist())  # bytes between fields may be any
    assert found.flags.writeable


def test_a_memmap_comes_back_as_an_array_that_does_not_need_its_file(codec: Codec, tmp_path: Path) -> None:
    mapped = numpy.memmap(tmp_path / "file", dtype="i4", mode="w+", shape=(10,))
    mapped[:] = range(10)
    found = back(codec, mapped, "npy")
    (tmp_path / "file").unlink()
    assert type(found) is numpy.ndarray
    assert found.tolist() == list(range(10))


@pytest.mark.parametrize(
    "value",
    [
        numpy.array([1, "a", None], dtype=object),
        numpy.ma.masked_array([1, 2], [0, 1]),
        numpy.rec.array([(1, 2.0)], dtype=[("x", "i4"), ("y", "f8")]),
        numpy.zeros(2, dtype=numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
        numpy.zeros(2, dtype=numpy.dtype("f8", metadata={"unit": "m"})),
        numpy.zeros(2, dtype=numpy.dtype([("a", numpy.dtype("f8", metadata={"unit": "m"}))])),
        numpy.float64(1.5),
        numpy.int8(3),
        numpy.datetime64("2020-01-01"),
        numpy.zeros(1, dtype=[("x", "i4"), ("y", "f8")])[0],
    ],
    ids=lambda value: f"{type(value).__name__} {str(value.dtype)[:60]} {value.dtype.metadata}",
)
def test_what_an_npy_file_cannot_say_is_pickled(codec: Codec, value: Any) -> None:
    found = back(codec, value, "pickle")
    assert type(found) is type(value)
    assert found.dtype == value.dtype
    assert found.dtype.metadata == value.dtype.metadata
    assert repr(found.tolist()) == repr(value.tolist())


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_is_mapped_and_may_be_changed_without_changing_its_blob(codec: Codec, order: str) -> None:
    array = numpy.arange(LARGE // 8, dtype="f8").reshape(-1, 100).copy(order)
    stored = codec.encode(array, "it")
    tracemalloc.start()
    try:
        first, second = codec.decode(stored), codec.decode(stored)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # numpy tells of what it allocates
    finally:
        tracemalloc.stop()
    assert type(first) is numpy.ndarray
    assert first.flags.f_contiguous == (order == "F")
    assert (first == array).all()
    first += 1
    assert (first == array + 1).all()
    assert (second == array).all()
    assert (codec.decode(stored) == array).all()


@pytest.mark.parametrize("kind", ["npy", "arrow", "pickle"])
def test_a_mapped_value_outlives_its_blob(codec: Codec, kind: str) -> None:
    array: Any = numpy.arange(LARGE // 8)
    value = {"npy": lambda: array, "arrow": lambda: table_of(array), "pickle": lambda: (array, "more")}[kind]()
    stored = codec.encode(value, "it")
    found = codec.decode(stored)
    assert codec.blobs.sweep(stored.blob or "", time.time() + 60)
    first = found["a"].to_numpy() if kind == "arrow" else found if kind == "npy" else found[0]
    assert (first == array).all()


def table_of(array: Any) -> Any:
    return pyarrow.table({"a": array})


def test_writing_a_large_array_needs_little_memory(codec: Codec) -> None:
    array: Any = numpy.zeros(100_000_000, dtype="u1")
    value = {1: array, 2: "more"}
    for what in (array, value):
        tracemalloc.start()
        try:
            codec.encode(what, "it")
            assert tracemalloc.get_traced_memory()[1] < 40_000_000  # numpy's pieces have 16 MB
        finally:
            tracemalloc.stop()


def test_many_values_that_are_held_need_no_file_each(codec: Codec) -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("needs /proc")
    stored = [codec.encode(numpy.full(5000, n), "it") for n in range(50)]
    before = len(list(folder.iterdir()))
    held = [codec.decode(one) for one in stored]
    assert len(list(folder.iterdir())) == before
    assert [int(one[0]) for one in held] == list(range(50))


# --- anything with large buffers inside -------------------------------------------------------------------------------


def test_large_buffers_stand_apart_in_a_pickle_and_come_back_as_they_were(codec: Codec) -> None:
    fixed: Any = numpy.arange(1_000_000)
    fixed.flags.writeable = False
    large: Any = numpy.arange(LARGE // 8)
    value = {"large": [large, large], 1: fixed, "small": numpy.arange(3), "f": numpy.ones((1000, 300), order="F")}
    found = back(codec, value, "pickle")
    assert found["large"][0] is found["large"][1]
    for name in ("large", 1, "small", "f"):
        one, other = (v[name][0] if name == "large" else v[name] for v in (found, value))
        assert (one == other).all()
        assert one.flags.writeable == other.flags.writeable
        assert one.flags.f_contiguous == other.flags.f_contiguous
        assert one.ctypes.data % 16 == 0
    found["large"][0][:] = 0
    assert (back(codec, value, "pickle")["large"][0] == large).all()


def test_buffers_of_a_middling_size_are_read_not_mapped(codec: Codec) -> None:
    found = back(codec, (numpy.arange(300_000), b"x" * 2_000_000, bytearray(2_000_000)), "pickle")
    found[0][0] = 7
    assert found[0][:3].tolist() == [7, 1, 2]
    assert [type(part) for part in found[1:]] == [bytes, bytearray]


def test_a_pickle_without_large_buffers_is_a_plain_pickle(codec: Codec) -> None:
    for value in ((1, 2), (b"x" * 5_000_000,)):
        stored = codec.encode(value, "it")
        data = stored.data if stored.blob is None else codec.blobs.path(stored.blob).read_bytes()
        assert isinstance(data, bytes)
        assert pickle.loads(data) == value


def test_a_file_that_ends_within_a_buffer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open(path, "wb") as file:
        apart.dump(numpy.arange(300_000), file, lambda f, callback: pickle.Pickler(f, 5, buffer_callback=callback))
    whole = path.read_bytes()
    path.write_bytes(whole[-200:])
    with open(path, "rb") as file, pytest.raises(EOFError, match="within a buffer"):
        apart.load(file)


# --- pandas -----------------------------------------------------------------------------------------------------------


def frames() -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Frames and series, and by what each is written."""
    plain = pandas.DataFrame({"i": [1, 2, 3], "f": [1.5, numpy.nan, -0.0], "b": [True, False, True]})
    days = pandas.to_datetime(["2020-01-01", None, "2021-01-01"])
    odd = plain.copy()
    odd.attrs["unit"] = "m"
    unique = plain.set_flags(allows_duplicate_labels=False)
    arrow = {
        "plain": plain,
        "sizes": pandas.DataFrame({t: numpy.array([1, 2], t) for t in ("i1", "u8", "f4")}),
        "days": pandas.DataFrame({"d": days, "s": days.as_unit("s"), "t": pandas.to_timedelta([1, 2, None], unit="s")}),
        "lacking": pandas.DataFrame(
            {"i": pandas.array([1, None], "Int16"), "b": pandas.array([None, True], "boolean")}
        ),
        "ordered": pandas.DataFrame({"c": pandas.Categorical([3, 1, None], categories=[3, 2, 1], ordered=True)}),
        "range": plain.set_axis(pandas.RangeIndex(7, 1, -2, name="r")),
        "index": plain.set_index("i"),
        "same name": plain.set_axis(pandas.Index([4, 4, 5], name="f")),
        "day index": plain.set_axis(days, axis=0),
        "no rows": plain.iloc[:0],
        "series": plain["f"],
        "series without name": plain["i"].rename(None),
    }
    pickled = {
        "objects": pandas.DataFrame({"o": pandas.Series([1, "x", None], dtype=object)}),
        "object labels": plain.set_axis(pandas.Index(["a", 1, None], dtype=object)),
        "columns of numbers": pandas.DataFrame([[1, 2]]),
        "two of one name": pandas.DataFrame([[1, 2]], columns=["a", "a"]),
        "columns in levels": pandas.DataFrame({("a", "b"): [1]}),
        "named columns": plain.rename_axis(columns="c"),
        "rows in levels": plain.set_index(["i", "b"]),
        "index name of numbers": plain.rename_axis(7),
        "freq": plain.set_axis(pandas.date_range("2020-01-01", periods=3)),
        "attrs": odd,
        "flags": unique,
        "half": pandas.DataFrame({"h": numpy.array([1], "f2")}),
        "complex": pandas.DataFrame({"c": [1j]}),
        "period": pandas.DataFrame({"p": pandas.period_range("2020-01", periods=2)}),
        "sparse": pandas.DataFrame({"s": pandas.arrays.SparseArray([0, 1])}),
        "interval": pandas.DataFrame({"i": pandas.interval_range(0, 2)}),
        "no Unicode": pandas.DataFrame({"t": pandas.array(["\ud800"], "string[python]")}),
        "no columns": pandas.DataFrame(index=range(3)),
        "series of number": plain["f"].rename(3),
        "series of objects": pandas.Series([1, "x"], dtype=object),
        "index": plain.columns,
    }
    either = {  # as the versions of pandas and pyarrow have it
        "zone": pandas.DataFrame({"z": days.tz_localize("Europe/Berlin")}),
        "utc": pandas.DataFrame({"d": days.tz_localize("UTC")}),
        "fixed zone": pandas.DataFrame({"d": pandas.to_datetime(["2020-01-01T00:00+02:00"])}),
        "strings": pandas.DataFrame({"s": ["a", "b", None]}),
        "texts": pandas.DataFrame({"t": pandas.array(["a", None, "ü"], "string[pyarrow]")}),
        "categories of texts": pandas.DataFrame({"c": pandas.Categorical(["b", "a"])}),
        "types of Arrow": pandas.DataFrame({"a": pandas.array([1, None], "int64[pyarrow]")}),
    }
    return {
        **{name: (value, ("pandas",)) for name, value in arrow.items()},
        **{f"{name} (pickled)": (value, ("pickle",)) for name, value in pickled.items()},
        **{f"{name} (either)": (value, ("pandas", "pickle")) for name, value in either.items()},
    }


@pytest.mark.parametrize("name", frames())
def test_a_frame_comes_back_exactly_by_arrow_where_that_can_be_known_before_else_by_pickle(
    codec: Codec, name: str
) -> None:
    value, kinds = frames()[name]
    for _ in range(2):  # the second time from what is remembered of the shape
        found = back(codec, value, *kinds)
    assert type(found) is type(value)
    if isinstance(value, pandas.DataFrame):
        pandas.testing.assert_frame_equal(found, value, check_freq=True, check_flags=True)
        pandas.testing.assert_index_equal(found.columns, value.columns, exact=True)
        assert list(map(repr, found.dtypes)) == list(map(repr, value.dtypes))
    elif isinstance(value, pandas.Series):
        pandas.testing.assert_series_equal(found, value, check_freq=True, check_flags=True)
    if not isinstance(value, pandas.Index):
        pandas.testing.assert_index_equal(found.index, value.index, exact=True)
        assert found.index.name == value.index.name
        assert found.attrs == value.attrs


def test_a_large_frame_may_be_changed_without_changing_its_blob(codec: Codec) -> None:
    frame = pandas.DataFrame({"a": numpy.arange(LARGE / 8), "i": numpy.arange(LARGE // 8)})
    for value in (frame, frame[["a"]], frame["a"]):
        stored = codec.encode(value, "it")
        found = codec.decode(stored)
        found.iloc[0] = 5
        found += 1
        assert float(numpy.ravel(found.iloc[0])[0]) == 6
        assert float(numpy.ravel(codec.decode(stored).iloc[0])[0]) == 0


# --- pyarrow ----------------------------------------------------------------------------------------------------------


def test_tables_and_batches_come_back_with_their_chunks_and_metadata(codec: Codec) -> None:
    table = pyarrow.table({"a": [1, None], "l": [[1], []], "d": pyarrow.array(["x", "x"]).dictionary_encode()})
    table = table.replace_schema_metadata({"unit": "m"})
    assert back(codec, table, "arrow").equals(table, check_metadata=True)
    batch = table.to_batches()[0]
    found = back(codec, batch, "arrow-batch")
    assert type(found) is pyarrow.RecordBatch
    assert found.equals(batch, check_metadata=True)
    chunks = pyarrow.chunked_array([[1, 2], [3]])
    assert back(codec, pyarrow.table({"c": chunks}), "arrow")["c"].num_chunks == 2
    large = table_of(numpy.arange(LARGE // 8))
    assert back(codec, large, "arrow").equals(large)


def test_a_table_with_a_dictionary_for_each_chunk_is_pickled(codec: Codec) -> None:
    parts = [pyarrow.array(texts).dictionary_encode() for texts in (["a", "b"], ["c"])]
    table = pyarrow.table({"d": pyarrow.chunked_array(parts)})
    assert back(codec, table, "pickle").equals(table)


# --- scikit-learn -----------------------------------------------------------------------------------------------------


def test_an_estimator_is_written_as_joblib_reads_it(codec: Codec) -> None:
    pytest.importorskip("sklearn")
    import joblib
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows: Any = numpy.random.default_rng(0).random((100, 50))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0.5)
    stored = Codec(codec.blobs, inline=0).encode(model, "it")
    assert stored.codec == "joblib"
    for found in (codec.decode(stored), joblib.load(codec.blobs.path(stored.blob or ""))):
        assert type(found) is type(model)
        assert (found.predict(rows) == model.predict(rows)).all()


def test_an_estimator_that_holds_something_of_the_users_is_pickled_with_it(codec: Codec) -> None:
    pytest.importorskip("sklearn")
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    class Own(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        def fit(self, rows: Any, labels: Any = None) -> "Own":
            return self

    factor = 2
    doubling = make_pipeline(StandardScaler(), FunctionTransformer(lambda rows: factor * rows))
    assert back(codec, doubling, "pickle")["functiontransformer"].transform(numpy.ones(1)).tolist() == [2]
    assert type(back(codec, Own(), "pickle")) is Own
    assert type(back(codec, make_pipeline(Own()), "pickle")["own"]) is Own
    assert back(codec, FunctionTransformer(numpy.log1p), "joblib").func is numpy.log1p


# --- PyTorch ----------------------------------------------------------------------------------------------------------


def test_weights_of_pytorch_are_loaded_without_running_code_and_modules_come_back(codec: Codec) -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc]  # known at run time
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    net, x = Net(), torch.ones(1, 3)
    optimizer = torch.optim.Adam(net.parameters())
    net(x).sum().backward()
    optimizer.step()
    state = back(codec, net.state_dict(), "torch")
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(back(codec, x, "torch"), x)
    checkpoint = back(codec, {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, "torch")
    assert checkpoint["epoch"] == 3
    optimizer.load_state_dict(checkpoint["optimizer"])
    found = back(codec, net, "torch-module")
    assert type(found) is Net
    assert torch.equal(found(x), net(x))
    assert type(back(codec, {"tensor": x, "more": {1}}, "pickle")) is dict
    with pytest.raises(StoreError, match="cannot be read"):  # a module that claims to be weights
        codec.decode(Stored("torch", codec.encode(net, "it").data, None, 0))


# --- all of them ------------------------------------------------------------------------------------------------------

LOOKING = """
import sys
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec

codec = Codec(Blobs(sys.argv[1]))
assert codec.decode(codec.encode((1, {2}), "it")) == (1, {2})
found = {"numpy", "pandas", "pyarrow", "sklearn", "joblib", "torch"} & set(sys.modules)
assert not found, found
"""


def test_looking_for_who_writes_a_value_imports_no_library(tmp_path: Path) -> None:
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", LOOKING, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}, check=True)


@pytest.mark.parametrize("kind", ["npy", "pandas", "arrow", "arrow-batch", "joblib", "torch", "torch-module", "pickle"])
def test_a_value_that_cannot_be_read_says_so(codec: Codec, kind: str) -> None:
    pytest.importorskip(
        {"npy": "numpy", "arrow": "pyarrow", "arrow-batch": "pyarrow"}.get(kind, kind.partition("-")[0])
    )
    with pytest.raises(StoreError, match=rf"a stored value \({kind}, 8 bytes\) cannot be read"):
        codec.decode(Stored(kind, b"nonsense", None, 8))


def test_a_damaged_blob_is_not_mapped(codec: Codec) -> None:
    stored = codec.encode(numpy.zeros(LARGE, "u1"), "it")
    with open(codec.blobs.path(stored.blob or ""), "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(StoreError, match="is damaged"):
        codec.decode(stored)
    gc.collect()
