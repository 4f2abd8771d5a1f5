"""What is taken from the traces of Flink: whether `retry_on` covers the exception that they tell of."""

from __future__ import annotations

import json

import pytest

from aiflow.runners.flink_causes import is_covered

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
