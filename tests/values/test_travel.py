"""How calls travel to another process: the user's code by value, what is installed by name."""

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aiflow.errors import RunnerError
from aiflow.values.codec import pickle_call, unpickle_call
from aiflow.values.origin import is_users

READER = """
import sys
from aiflow.values.codec import unpickle_call
function, args, kwargs, *more = unpickle_call(sys.stdin.buffer.read())
print(repr(function(*args, **kwargs)))
print(*sorted(name for name in sys.modules if name.startswith("users_")))
"""


def elsewhere(function: Any, *args: Any, path: tuple[Path, ...] = (), **kwargs: Any) -> tuple[str, str]:
    """Call a function in another process; give what it gave, as text, and the user's modules that it imported."""
    data = pickle_call(function, args, kwargs)
    paths = os.pathsep.join([*map(str, path), *(p for p in sys.path if "code" not in p)])
    found = subprocess.run(
        [sys.executable, "-c", READER],
        input=data,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert found.returncode == 0, found.stderr.decode()
    value, _, modules = found.stdout.decode().partition("\n")
    return value, modules.strip()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that writes a module of the user's and imports it."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    names: list[str] = []

    def write(name: str, text: str) -> Any:
        (folder / f"{name}.py").write_text(text)
        names.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_what_belongs_to_the_user(write: Any) -> None:
    write("users_own", "")
    assert is_users("users_own")
    assert is_users("__main__")
    assert is_users(__name__)
    assert not any(map(is_users, ["json", "sys", "pytest", "aiflow", "aiflow.errors", "not_there_at_all"]))


def test_a_module_of_the_user_travels_by_value(write: Any) -> None:
    module = write("users_a", "factor = 3\ndef inner(x): return x * factor\ndef outer(x): return inner(x) + 1\n")
    assert elsewhere(module.outer, 5) == ("16", "")


def test_what_is_in_memory_travels_even_if_the_file_has_changed(write: Any, tmp_path: Path) -> None:
    module = write("users_b", "def answer(): return 'old'\n")
    (tmp_path / "code" / "users_b.py").write_text("def answer(): return 'new'\n")
    assert elsewhere(module.answer, path=(tmp_path / "code",)) == ("'old'", "")


def test_modules_and_what_was_imported_from_them_stay_the_same_thing(write: Any) -> None:
    write("users_c", "class Net: pass\ndef make(): return Net()\n")
    module = write(
        "users_d",
        "import users_c\nfrom users_c import Net\nfrom functools import lru_cache\n"
        "@lru_cache(maxsize=3)\ndef make(): return users_c.make()\n"
        "def check(): return isinstance(make(), Net) and make() is make()\n",
    )
    assert elsewhere(module.check) == ("True", "")


def test_code_that_travels_knows_its_file_so_that_tracebacks_show_its_lines(write: Any) -> None:
    module = write(
        "users_o", "def outer():\n    def inner(): return outer.__code__, inner.__code__\n    return inner()\n"
    )
    function, *_ = unpickle_call(pickle_call(module.outer, (), {}))
    assert function.__code__ is not module.outer.__code__
    assert [code.co_filename for code in function()] == [module.__file__] * 2


def test_a_module_that_cannot_travel_by_value_goes_by_name(write: Any, tmp_path: Path) -> None:
    module = write("users_e", "import threading\nlock = threading.Lock()\ndef held():\n    with lock: return 'held'\n")
    assert elsewhere(module.held, path=(tmp_path / "code",)) == ("'held'", "users_e")


def test_one_that_cannot_go_by_name_either_is_named(write: Any, tmp_path: Path) -> None:
    module = write("users_f", "import threading\nlock = threading.Lock()\ndef held(): return lock\n")
    (tmp_path / "code" / "users_f.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(RunnerError, match=r"the function of job 'held' cannot be sent .*_thread\.lock"):
        pickle_call(module.held, (), {})


JOBS = """
import aiflow as af
{lock}
@af.job
def countdown(n):
    {use}
    return [n, *countdown(n - 1)] if n else last()

@af.job(retries=2)
def last():
    return ["end"]
"""


def test_jobs_call_themselves_and_each_other_by_value(write: Any) -> None:
    module = write("users_g", JOBS.format(lock="", use=""))
    assert elsewhere(module.countdown.function, 2) == ("[2, 1, 'end']", "")
    assert elsewhere(module.countdown, 2) == ("[2, 1, 'end']", "")


def test_jobs_call_themselves_and_each_other_by_name(write: Any, tmp_path: Path) -> None:
    module = write("users_h", JOBS.format(lock="import threading; lock = threading.Lock()", use="lock.locked()"))
    code = (tmp_path / "code",)
    assert elsewhere(module.countdown.function, 2, path=code) == ("[2, 1, 'end']", "users_h")
    assert elsewhere(module.countdown, 2, path=code) == ("[2, 1, 'end']", "users_h")


def test_lambdas_and_closures_travel(write: Any) -> None:
    base = 10
    assert elsewhere(lambda x: [base + x, len(os.sep)], 5) == ("[15, 1]", "")


def test_an_argument_that_cannot_travel_is_named() -> None:
    def f(a: Any, b: Any = None) -> None: ...

    with pytest.raises(RunnerError, match=r"argument 0 of job 'f' is a _thread\.lock"):
        pickle_call(f, (threading.Lock(),), {})
    with pytest.raises(RunnerError, match=r"argument 'b' of job 'f' is a generator"):
        pickle_call(f, (1,), {"b": (i for i in "")})


def test_the_list_of_cloudpickle_is_left_as_it_was(write: Any) -> None:
    import cloudpickle

    module = write("users_i", "import threading\nlock = threading.Lock()\ndef f(): return lock\n")
    pickle_call(module.f, (), {})
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_many_threads_pickle_at_once(write: Any) -> None:
    modules = [write(f"users_n{i}", f"def f(): return {i}\n") for i in range(8)]
    problems: list[Exception] = []

    def work(i: int) -> None:
        try:
            for _ in range(20):
                function, _, _ = unpickle_call(pickle_call(modules[i].f, (), {}))
                assert function is not modules[i].f
                assert function() == i
        except Exception as error:  # shown by the assertion below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
