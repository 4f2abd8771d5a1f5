"""How values of the usual libraries become bytes: numpy, pandas, pyarrow, scikit-learn and PyTorch, each in its own format.

Knows nothing of rows, blobs or pickle's ways. It is the door to pandas, pyarrow, joblib and torch for values. `handles` looks
only at libraries that are imported already: a value of a library exists only where that is. It says yes only if exactly the
same comes back, by rules that are checked before anything is written; what it refuses is pickled.
"""

from __future__ import annotations

import io
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, BinaryIO, Protocol

from aiflow.errors import ParameterError
from aiflow.values import apart
from aiflow.values.origin import is_users

__all__ = ["OURS", "Serializer", "checked", "ours"]


class Serializer(Protocol):
    """How values of some types become bytes: one of ours, or what a plug-in offers (hook `aiflow_serializers`).

    It travels to child processes with each of their jobs, so it must be picklable.

    Attributes
    ----------
    name
        What stands in the column `codec` of a value; of all serializers, only one has it.
    """

    name: str

    def handles(self, value: Any) -> bool:
        """Tell whether `dump` can write this value; must be quick and must not raise."""

    def dump(self, value: Any, file: Any) -> None:
        """Write the value to a binary file that has `write` and `tell` only."""

    def load(self, file: BinaryIO) -> Any:
        """Read back what `dump` wrote; of a large value it is a real file, which may be mapped, and deleted later."""


OURS = ("json", "version", "npy", "pandas", "arrow", "arrow-batch", "joblib", "torch", "torch-module", "pickle")
"""The names that no plug-in's serializer can have."""


def checked(offered: Iterable[tuple[str, Any]]) -> tuple[Serializer, ...]:
    """Check the serializers of plug-ins.

    Parameters
    ----------
    offered
        The name of each plug-in, and what it offers.

    Raises
    ------
    ParameterError
        If one is no serializer, or has the name of another one or of ours; names the plug-in.
    """
    known: dict[str, str] = {}
    found: list[Serializer] = []
    for plugin, serializer in offered:
        name = getattr(serializer, "name", None)
        lacking = [part for part in ("handles", "dump", "load") if not callable(getattr(serializer, part, None))]
        if not isinstance(name, str) or not name or lacking:
            raise ParameterError(
                f"the plugin {plugin} offers {serializer!r} as a serializer, which needs a text 'name' and the methods "
                "handles(value), dump(value, file) and load(file)"
            )
        if name in OURS:
            raise ParameterError(
                f"the plugin {plugin} offers a serializer named {name!r}: aiflow uses that name itself; give it another"
            )
        if name in known:
            raise ParameterError(
                f"the plugins {known[name]} and {plugin} both offer a serializer named {name!r}, so what one of them wrote "
                "might be read by the other: rename one, or leave one of the plugins out"
            )
        known[name] = plugin
        found.append(serializer)
    return tuple(found)


def ours(pickler: Callable[[], Any]) -> list[Serializer]:
    """Give ours, in the order in which they are asked; `pickler` gives the class of picklers for what none knows."""
    return [Arrays(), Frames(), Tables(), Batches(), Estimators(), Weights(), Modules(pickler), Pickles(pickler)]


class Pickles:
    """Anything, by cloudpickle; loading it runs whatever code the pickle asks for."""

    name = "pickle"

    def __init__(self, pickler: Callable[[], Any]) -> None:
        self._pickler = pickler

    def handles(self, value: Any) -> bool:
        """Say yes; whether it is true is seen when it is tried."""
        return True

    def dump(self, value: Any, file: Any) -> None:
        """Pickle it; large buffers go to the file without being copied."""
        apart.dump(value, file, self._pickler())

    def load(self, file: BinaryIO) -> Any:
        """Unpickle it; large buffers are mapped."""
        return apart.load(file)


# --- numpy ------------------------------------------------------------------------------------------------------------

_ANY_HEADER = 1 << 30  # the description of a type with a thousand fields is long; its hash was checked


class Arrays:
    """Arrays as .npy; those of objects, and subclasses but `memmap`, are pickled. A `memmap` comes back as an array."""

    name = "npy"

    def handles(self, value: Any) -> bool:
        """Tell whether it is an array of numbers, texts, times or records."""
        numpy = sys.modules.get("numpy")
        return numpy is not None and type(value) in (numpy.ndarray, numpy.memmap) and _is_plain_type(value.dtype)

    def dump(self, value: Any, file: Any) -> None:
        """Write it in pieces, without a copy of the whole."""
        import numpy

        form: Any = numpy.lib.format  # typed in some versions only
        form.write_array(file, numpy.asarray(value), allow_pickle=False)

    def load(self, file: BinaryIO) -> Any:
        """Map it, if it is large; read it else."""
        import numpy

        whole = apart.mapped(file)
        load: Any = numpy.load  # `max_header_size` is missing in the types of older versions
        if whole is not None:
            head: Any = numpy.lib.format
            read_header = {(1, 0): head.read_array_header_1_0, (2, 0): head.read_array_header_2_0}.get(
                head.read_magic(file)
            )
            if read_header is not None:
                shape, is_fortran, dtype = read_header(file, max_header_size=_ANY_HEADER)
                offset = file.tell()
                return numpy.ndarray(shape, dtype, buffer=whole, offset=offset, order="F" if is_fortran else "C")
            file.seek(0)
        return load(file, allow_pickle=False, max_header_size=_ANY_HEADER)


def _is_plain_type(dtype: Any) -> bool:
    """Tell whether a .npy file says all of an array's type."""
    if dtype.hasobject or dtype.metadata or dtype.isbuiltin == 2 or dtype.isalignedstruct:
        return False
    if dtype.subdtype is not None:
        return _is_plain_type(dtype.base)
    if dtype.names is not None:
        head = sys.modules["numpy"].lib.format
        fields_are = all(_is_plain_type(field[0]) for field in dtype.fields.values())
        return fields_are and bool(head.descr_to_dtype(head.dtype_to_descr(dtype)) == dtype)
    return type(dtype).__module__.partition(".")[0] == "numpy"


# --- pyarrow ----------------------------------------------------------------------------------------------------------


class Tables:
    """Tables of pyarrow as files of Arrow's IPC format; large ones are mapped when they are read."""

    name = "arrow"

    def handles(self, value: Any) -> bool:
        """Tell whether it is a table that a file can hold: one dictionary for each column."""
        pyarrow = sys.modules.get("pyarrow")
        if pyarrow is None or type(value) is not pyarrow.Table:
            return False
        return all(column.num_chunks < 2 or not _has_dictionary(column.type) for column in value.columns)

    def dump(self, value: Any, file: Any) -> None:
        """Write it column by column."""
        _write_arrow(value.schema, lambda writer: writer.write_table(value), file)

    def load(self, file: BinaryIO) -> Any:
        """Map it."""
        return _read_arrow(file, lambda reader: reader.read_all())


class Batches:
    """Record batches of pyarrow, in the same way."""

    name = "arrow-batch"

    def handles(self, value: Any) -> bool:
        """Tell whether it is one."""
        pyarrow = sys.modules.get("pyarrow")
        return pyarrow is not None and type(value) is pyarrow.RecordBatch

    def dump(self, value: Any, file: Any) -> None:
        """Write it column by column."""
        _write_arrow(value.schema, lambda writer: writer.write_batch(value), file)

    def load(self, file: BinaryIO) -> Any:
        """Map it."""
        return _read_arrow(file, lambda reader: reader.get_batch(0))


def _has_dictionary(kind: Any) -> bool:
    if sys.modules["pyarrow"].types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(i).type) for i in range(kind.num_fields))


class _Writable(io.RawIOBase):
    """What pyarrow takes for a file: it asks more of one than `write` and `tell`."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size: int = self._file.write(data)
        return size

    def tell(self) -> int:
        place: int = self._file.tell()
        return place


def _write_arrow(schema: Any, write: Callable[[Any], None], file: Any) -> None:
    import pyarrow.ipc

    with pyarrow.ipc.new_file(_Writable(file), schema) as writer:
        write(writer)


def _read_arrow(file: BinaryIO, read: Callable[[Any], Any]) -> Any:
    import pyarrow.ipc

    if not apart.is_worth_mapping(file):
        return read(pyarrow.ipc.open_file(pyarrow.BufferReader(file.read())))
    with pyarrow.memory_map(str(file.name)) as source:
        return read(pyarrow.ipc.open_file(source))


# --- pandas -----------------------------------------------------------------------------------------------------------

_SERIES = b"aiflow: a series"
_NAMED, _UNNAMED = b"named", b"unnamed"


class Frames:
    """Frames and series of pandas as Arrow files, if pyarrow is there and all of it comes back; others are pickled."""

    name = "pandas"

    def handles(self, value: Any) -> bool:
        """Tell whether it has columns, dtypes and an index that Arrow knows, and nothing else that it would lose."""
        pandas = sys.modules.get("pandas")
        if pandas is None or "pyarrow" not in sys.modules:
            return False
        if type(value) is pandas.Series:
            return type(value.name) in (str, type(None)) and _comes_back(value, _frame_of(value))
        return type(value) is pandas.DataFrame and _comes_back(value, value)

    def dump(self, value: Any, file: Any) -> None:
        """Write it column by column."""
        import pandas

        table = _table_of(value if type(value) is pandas.DataFrame else _frame_of(value))
        if type(value) is pandas.Series:
            is_named = _UNNAMED if value.name is None else _NAMED
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), _SERIES: is_named})
        _write_arrow(table.schema, lambda writer: writer.write_table(table), file)

    def load(self, file: BinaryIO) -> Any:
        """Read it; its memory is its own."""
        table = _read_arrow(file, lambda reader: reader.read_all())
        frame = _back(table)
        kind = (table.schema.metadata or {}).get(_SERIES)
        if kind is None:
            return frame
        series = frame.iloc[:, 0]
        return series.rename(None) if kind == _UNNAMED else series


def _frame_of(series: Any) -> Any:
    return series.to_frame("values" if series.name is None else series.name)


def _table_of(frame: Any) -> Any:
    import pyarrow

    return pyarrow.Table.from_pandas(frame)


def _back(table: Any) -> Any:
    return table.to_pandas()


def _comes_back(value: Any, frame: Any) -> bool:
    """Tell whether Arrow keeps a frame: from what it is, not from what is in it, so that it is quick and certain."""
    index, columns = frame.index, frame.columns
    if value.attrs or not value.flags.allows_duplicate_labels or getattr(index, "freq", None) is not None:
        return False
    names = tuple(columns)
    if not names or set(map(type, names)) != {str} or not columns.is_unique or columns.name is not None:
        return False
    kinds = sys.modules["pandas"]
    if type(index) not in (kinds.RangeIndex, kinds.Index, kinds.DatetimeIndex, kinds.TimedeltaIndex):
        return False
    dtypes = (index.dtype, *frame.dtypes)
    if type(index.name) not in (str, type(None)) or not all(map(_is_kept, dtypes)):
        return False
    shape = (type(index), index.name, columns.dtype, names, *map(_told, dtypes))
    if shape not in _known:
        if len(_known) > 1000:
            _known.clear()
        _known[shape] = _is_same_shape(frame.iloc[:0])
    return _known[shape]


_MOST_CATEGORIES = 10_000
_known: dict[Any, bool] = {}  # of each shape of a frame, whether it comes back: trying takes a millisecond


def _is_kept(dtype: Any) -> bool:
    """Tell whether all values of this type come back from Arrow as they were."""
    pandas = sys.modules["pandas"]
    if isinstance(dtype, pandas.CategoricalDtype):
        kinds = dtype.categories
        return type(kinds) is pandas.Index and len(kinds) <= _MOST_CATEGORIES and _is_kept(kinds.dtype)
    if isinstance(dtype, pandas.StringDtype):
        return bool(dtype.storage == "pyarrow")  # others may hold what is no Unicode
    if isinstance(dtype, pandas.DatetimeTZDtype | pandas.BooleanDtype):
        return True
    if dtype.kind in "iu":  # also those that may lack values
        return True
    return type(dtype).__module__.partition(".")[0] == "numpy" and (
        dtype.kind in "bmM" or (dtype.kind == "f" and dtype.itemsize in (4, 8))
    )


def _told(dtype: Any) -> Any:
    """Give what tells a type from others that compare equal to it."""
    if isinstance(dtype, sys.modules["pandas"].CategoricalDtype):
        return type(dtype), dtype.ordered, dtype.categories.dtype, tuple(dtype.categories)
    return type(dtype), dtype, repr(getattr(dtype, "tz", None))


def _is_same_shape(empty: Any) -> bool:
    """Send a frame without rows there and back, and tell whether anything about it has changed."""
    try:
        back = _back(_table_of(empty))
    except Exception:  # Arrow or pandas does not know one of its types
        return False

    def shape(frame: Any) -> Any:
        index, columns = frame.index, frame.columns
        return type(index), index.name, columns.dtype, list(columns), list(map(_told, (index.dtype, *frame.dtypes)))

    return bool(shape(back) == shape(empty))


# --- scikit-learn -----------------------------------------------------------------------------------------------------


class Estimators:
    """Estimators of scikit-learn by joblib, as `joblib.load` reads them; loading one runs code, as with any pickle.

    One that is the user's, or holds a function or an estimator of the user's, is pickled: joblib would keep the names only.
    """

    name = "joblib"

    def handles(self, value: Any) -> bool:
        """Tell whether it is made of scikit-learn's own parts."""
        sklearn = sys.modules.get("sklearn.base")
        if sklearn is None or not isinstance(value, sklearn.BaseEstimator):
            return False
        return not any(_is_of_user(part) for part in (value, *value.get_params(deep=True).values()))

    def dump(self, value: Any, file: Any) -> None:
        """Write it, its arrays in pieces."""
        import joblib

        joblib.dump(value, file, protocol=5)

    def load(self, file: BinaryIO) -> Any:
        """Read it, its arrays straight into place."""
        import joblib

        return joblib.load(file, ensure_native_byte_order=False)


def _is_of_user(part: Any) -> bool:
    named = part if isinstance(part, type) or hasattr(part, "__qualname__") else type(part)
    module = getattr(named, "__module__", None)
    return "<" in getattr(named, "__qualname__", "") or (isinstance(module, str) and is_users(module))


# --- PyTorch ----------------------------------------------------------------------------------------------------------

_DEEPEST = 8


class Weights:
    """Tensors of PyTorch, and trees of dicts and lists with tensors and plain data in them: state dicts, checkpoints.

    Loading them runs no code: `torch.load` is told that they are weights only.
    """

    name = "torch"

    def handles(self, value: Any) -> bool:
        """Tell whether it is one of these."""
        torch = _torch()
        if torch is None or type(value) not in (torch.Tensor, torch.nn.Parameter, dict, OrderedDict, list, tuple):
            return False
        tensors: list[Any] = []
        return _are_weights(value, torch, tensors, _DEEPEST) and bool(tensors)

    def dump(self, value: Any, file: Any) -> None:
        """Write it, tensor by tensor."""
        import torch

        torch.save(value, _Writable(file))

    def load(self, file: BinaryIO) -> Any:
        """Read it."""
        return _load_tensors(file, weights_only=True)


class Modules:
    """Modules of PyTorch, code and state; loading one runs code, as with any pickle."""

    name = "torch-module"

    def __init__(self, pickler: Callable[[], Any]) -> None:
        self._pickler = pickler

    def handles(self, value: Any) -> bool:
        """Tell whether it is a module."""
        torch = _torch()
        return torch is not None and isinstance(value, torch.nn.Module)

    def dump(self, value: Any, file: Any) -> None:
        """Write it, tensor by tensor; classes of the user's travel as in any value."""
        import torch

        class Pickler(self._pickler()):  # type: ignore[misc]  # a class that is known at run time
            def __init__(self, file: Any, protocol: int | None = None) -> None:
                super().__init__(file)

        torch.save(value, _Writable(file), pickle_module=SimpleNamespace(Pickler=Pickler, __name__="aiflow"))

    def load(self, file: BinaryIO) -> Any:
        """Read it."""
        return _load_tensors(file, weights_only=False)


def _torch() -> Any:
    """Give PyTorch if it is imported to the end."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "nn") else None


def _are_weights(value: Any, torch: Any, tensors: list[Any], levels: int) -> bool:
    kind = type(value)
    if kind in (torch.Tensor, torch.nn.Parameter):
        tensors.append(value)
        return True
    if kind in (str, int, float, bool, type(None)):
        return True
    if not levels or kind not in (dict, OrderedDict, list, tuple):
        return False
    if kind in (dict, OrderedDict):
        if not all(type(key) in (str, int) for key in value):
            return False
        value = value.values()
    return all(_are_weights(part, torch, tensors, levels - 1) for part in value)


def _load_tensors(file: BinaryIO, *, weights_only: bool) -> Any:
    import torch

    place = None if torch.cuda.is_available() else "cpu"  # what was on a device that is not here comes to the processor
    return torch.load(file, map_location=place, weights_only=weights_only)
