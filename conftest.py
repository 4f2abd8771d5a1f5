"""Makes the README and the pages of docs/ run as tests, and keeps every test away from the developer's own home.

Each document is run from top to bottom, in a folder and a home of its own and in one process, whatever the order of the
other tests. What takes long comes first, so that no process is left with it at the end.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilFile, SybilItem
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser
from tests.strategies import examples

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

TOGETHER = (".md", "test_notebook.py", "test_digits_lifecycle.py", "test_machine_table.py")
"""The files whose tests share something costly, or each other's names: one process runs all of a file."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell does that for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("everyday", examples(40))
hypothesis.settings.load_profile("everyday")

HAS_FLINK = find_spec("pyflink") is not None
# Doctest imports every module of src; these need what is optional.
collect_ignore = [] if HAS_FLINK else ["src/aiflow/runners/flink_driver.py", "tests/flink"]
collect_ignore += [] if find_spec("opentelemetry") else ["src/aiflow/spans.py"]


def _enter_a_folder(namespace: dict[str, object]) -> None:
    folder = tempfile.TemporaryDirectory(prefix="aiflow-docs-")
    namespace["__name__"] = "__main__"  # so that what a page shows under `if __name__ == ...` runs too
    namespace["_before"] = folder, Path.cwd(), os.environ.get("AIFLOW_HOME")
    os.environ["AIFLOW_HOME"] = str(Path(folder.name, ".aiflow"))
    os.chdir(folder.name)


def _leave_the_folder(namespace: dict[str, object]) -> None:
    folder, cwd, home = namespace.pop("_before")
    os.chdir(cwd)
    os.environ.pop("AIFLOW_HOME")
    if home is not None:
        os.environ["AIFLOW_HOME"] = home
    folder.cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["docs/_build/**", "docs/howto/flink.md"],  # that needs a cluster: tests/flink/test_page.py
    setup=_enter_a_folder,
    teardown=_leave_the_folder,
).pytest()


def pytest_report_header() -> str | None:
    return None if HAS_FLINK else "flink: left out, for there is no apache-flink here; it is for Python 3.11 and 3.12"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the examples of a document together again, in their order, and slow tests first: all is shuffled by now."""
    documents: dict[SybilFile, list[SybilItem]] = {}
    for item in items:
        if isinstance(item, SybilItem):
            documents.setdefault(item.parent, []).append(item)
    shuffled, items[:] = list(items), []
    for item in shuffled:
        if not isinstance(item, SybilItem):
            items.append(item)
        elif examples := documents.pop(item.parent, None):
            items.extend(sorted(examples, key=lambda one: (one.example.line, one.example.column)))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)  # there may be no xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give tests to processes one by one, but a file that belongs together as a whole."""
    from xdist.scheduler import LoadScopeScheduling

    class OneByOne(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            if file.startswith("tests/flink/"):
                return "flink"  # they share a cluster
            return file if file.endswith(TOGETHER) else nodeid

    return OneByOne(config, log)


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test or docstring opens by default lies in its temporary folder."""
    monkeypatch.setenv("AIFLOW_HOME", str(tmp_path / ".aiflow"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Spell out what no UTF-8 can hold (tests print such things on purpose), so that reports can cross processes."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
