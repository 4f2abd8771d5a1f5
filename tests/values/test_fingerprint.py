"""When two calls of a job are equal: what of the code counts for `cache=True`, and what does not."""

from types import ModuleType
from typing import Any

import pytest

from aiflow.graph.job import job
from aiflow.values.fingerprint import code_hash


def hashed(source: str, **names: Any) -> bytes:
    """Hash the function `f` of a script."""
    script: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, script)
    return code_hash(script["f"])


OWN = "def f(x): return x + 1"
HELPED = "K = {k}\ndef helper(x): return inner(x)\ndef inner(x): return x + K\ndef f(x): return helper(x)"
CLASS = "class Scaler:\n    def scale(self, x): return x * {k}\ndef f(x): return Scaler().scale(x)"
NESTED = "K = {k}\ndef f(xs): return [(lambda x: x + K)(x) for x in xs]"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OWN, "def f(x): return x + 2"),
        ("def f(x): return g(x, 1, 23)", "def f(x): return g(x, 12, 3)"),
        ("def f(x, *, k=1): return x + k", "def f(x, *, k=2): return x + k"),
        ("K = 1\ndef f(x): return x + K", "K = 5\ndef f(x): return x + K"),
        ("K = (1, 'a')\ndef f(x): return K", "K = (1, 'b')\ndef f(x): return K"),
        (HELPED.format(k=1), HELPED.format(k=2)),
        (HELPED.format(k=1), HELPED.format(k=1).replace("inner(x)\n", "inner(x) + 0.5\n")),
        (CLASS.format(k=1), CLASS.format(k=2)),
        (NESTED.format(k=1), NESTED.format(k=2)),
    ],
    ids=["own", "constants", "default", "number", "tuple", "number of a helper", "helper", "class", "nested"],
)
def test_what_a_function_uses_of_its_file_counts(before: str, after: str) -> None:
    assert hashed(before) == hashed(before)
    assert hashed(before) != hashed(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OWN, "# a comment\n\ndef f(x):\n    return x + 1"),
        (OWN, "K = 3\ndef other(): pass\n" + OWN),
        ("seen = []\ndef f(x): seen.append(x)", "seen = [1]\ndef f(x): seen.append(x)"),
        ("n = 0\ndef f():\n    global n\n    n += 1", "n = 5\ndef f():\n    global n\n    n += 1"),
        ("a = 1\ndef f(x): return x.a", "a = 2\ndef f(x): return x.a"),
    ],
    ids=["comment", "other names", "list", "what it sets itself", "attribute"],
)
def test_what_a_function_does_not_use_or_changes_itself_does_not_count(before: str, after: str) -> None:
    assert hashed(before) == hashed(after)


def test_functions_of_own_modules_and_other_jobs_count_and_functions_may_call_each_other() -> None:
    def features(k: int) -> ModuleType:
        module = ModuleType("__main__")  # which counts as a file of the user's
        exec(f"def build(x): return x + {k}\ndef other(x): return {k}", module.__dict__)
        return module

    used, unused = "def f(x): return features.build(x)", "def f(x): return features.nothing(x)"
    assert hashed(used, features=features(1)) != hashed(used, features=features(2))
    library = [ModuleType("__main__") for _ in range(2)]
    for number, module in enumerate(library):
        module.features = features(number)
        module.features.library = module
    deep = "def f(x): return library.features.build(x)"
    assert hashed(deep, library=library[0]) != hashed(deep, library=library[1])
    assert hashed(unused, features=features(1)) == hashed(unused, features=features(2))
    asking = "@job\ndef g(x): return x + {k}\ndef f(x): return g(x)"
    assert hashed(asking.format(k=1), job=job) != hashed(asking.format(k=2), job=job)
    assert hashed("def f(x): return g(x)\ndef g(x): return f(x)")
