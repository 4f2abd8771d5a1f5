"""What is taken from the traces of Flink: what it means and what to do, and whether `retry_on` covers the exception that they tell of."""

from __future__ import annotations

import json

import pytest

from aiflow.runners.flink_causes import is_covered, messages_of

TRACEBACK = "Traceback (most recent call last):\n  File 'a.py', line 1\n"


class Outer:
    class Nested(ConnectionError):
        pass


@pytest.mark.parametrize(
    ("line", "kinds", "expected"),
    [
        ("ZeroDivisionError: no", (OSError,), False),
        ("ZeroDivisionError", (OSError,), False),
        ("ZeroDivisionError: no", (ArithmeticError,), True),
        ("ZeroDivisionError: no", (OSError, ZeroDivisionError), True),
        ("ZeroDivisionError: no", (Exception,), True),
        ("ZeroDivisionError: no", (), False),
        ("json.decoder.JSONDecodeError: no", (json.JSONDecodeError,), True),
        ("json.decoder.JSONDecodeError: no", (ValueError,), True),
        ("json.decoder.JSONDecodeError: no", (OSError,), False),
        (f"{__name__}.Outer.Nested: no", (OSError,), True),
        (f"{__name__}.Outer.Nested: no", (ValueError,), False),
        ("never_imported.things.StrangeError: no", (OSError,), True),
        ("made.f.<locals>.LocalError: no", (OSError,), True),
        ("NoSuchError: no", (OSError,), True),
        ("json.dumps: no", (OSError,), True),
        ("it says something else", (OSError,), True),
        ("", (OSError,), True),
    ],
)
def test_retry_on_covers_an_exception_of_a_worker_by_its_name_and_bases_or_if_these_are_unknown(
    line: str, kinds: tuple[type[BaseException], ...], expected: bool
) -> None:
    assert is_covered(line, TRACEBACK + line, kinds) is expected


def test_a_class_that_was_defined_again_is_the_same_to_retry_on() -> None:
    again = type("Nested", (ConnectionError,), {"__module__": __name__, "__qualname__": "Outer.Nested"})
    assert is_covered(f"{__name__}.Outer.Nested: no", TRACEBACK, (again,))


def test_what_is_no_python_exception_is_tried_again() -> None:
    assert is_covered("ArithmeticError: / by zero", "java.lang.ArithmeticError: / by zero\n\tat a.B", (OSError,))


def test_what_a_function_raises_in_the_process_of_java_is_an_exception_of_python() -> None:
    whole = "a.b.JobException: no\n\tat a.B\nCaused by: pemja.core.PythonException: <class 'json.decoder.JSONDecodeError'>: bad 1\n\tat a.B"
    line = messages_of([whole])
    assert line == "json.decoder.JSONDecodeError: bad 1"
    assert [is_covered(line, whole, (kind,)) for kind in (ValueError, OSError)] == [True, False]


NO_FACTORY = """org.apache.flink.table.api.ValidationException: Unable to create a source
\tat a.B.c(B.java:1)
Caused by: org.apache.flink.table.api.ValidationException: Could not find any factory for identifier 'kafka' that implements \
'org.apache.flink.table.factories.DynamicTableFactory' in the classpath.

Available factory identifiers are:

blackhole
datagen
print
\tat a.B.c(B.java:1)
\t... 9 more"""


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (
            'org.apache.flink.sql.parser.impl.ParseException: Encountered "out" at line 1, column 14.\nWas expecting one of:\n    "IF" ...\n'
            "    <IDENTIFIER> ...",
            'ParseException: Encountered "out" at line 1, column 14; out is a word of SQL, and as a name it is written in backticks: `out`',
        ),
        (
            'org.apache.flink.sql.parser.impl.ParseException: Encountered "year FROM" at line 1, column 8.\nWas expecting one of:\n    <IDENTIFIER>',
            'ParseException: Encountered "year FROM" at line 1, column 8; year is a word of SQL, and as a name it is written in backticks: `year`',
        ),
        (
            'org.apache.flink.sql.parser.impl.ParseException: Encountered "TABEL" at line 1, column 8.\nWas expecting one of:\n    "TABLE" ...',
            'ParseException: Encountered "TABEL" at line 1, column 8.',
        ),
        (
            'org.apache.flink.sql.parser.impl.ParseException: Encountered ")" at line 1, column 14.\nWas expecting one of:\n    <IDENTIFIER> ...',
            'ParseException: Encountered ")" at line 1, column 14.',
        ),
        (
            NO_FACTORY,
            "ValidationException: there is no 'kafka' among the connectors, formats and catalogs that Flink has here (blackhole, datagen, "
            "print); name the jar that brings it: config={'pipeline.jars': 'path/to/its.jar'}",
        ),
        (
            "org.apache.flink.table.api.ValidationException: Querying an unbounded table 'a.b.s' in batch mode is not allowed. The table "
            "source is unbounded.\n\tat a.B",
            "ValidationException: Querying an unbounded table 'a.b.s' in batch mode is not allowed. The table source is unbounded; a job "
            "that reads it for ever is a stream (stream=True), one with an end needs a source that has one",
        ),
        (
            "java.io.IOException: Insufficient number of network buffers: required 101, but only 12 available.",
            "IOException: Insufficient number of network buffers: required 101, but only 12 available; its parallel parts exchange more than "
            "there is room for: lower parallelism=, run less beside it (limits=), or give the cluster more memory (for the local one: memory in [tool.aiflow.flink])",
        ),
        (
            "java.lang.RuntimeException: java.lang.RuntimeException: Error while waiting for BeamPythonFunctionRunner flush\n\tat a.B\n"
            "Caused by: org.beam.StatusRuntimeException: org.beam.StatusRuntimeException: CANCELLED: client cancelled\n\t... 3 more",
            "a Python worker of Flink died while it worked (CANCELLED: client cancelled): it had too little memory, crashed in native "
            "code, or was killed",
        ),
    ],
)
def test_what_flink_says_of_frequent_mistakes_is_said_with_what_to_do(trace: str, expected: str) -> None:
    assert messages_of([trace]) == expected
