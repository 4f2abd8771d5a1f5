"""What aiflow adds to pytest: the fixtures `aiflow_project` and `aiflow_clock`, and what is told of a test that fails.

Knows nothing of how projects for tests are made (that is `aiflow.testing`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterator
from hashlib import sha256
from inspect import CO_OPTIMIZED
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.testing import ManualClock

_KEPT = "aiflow_home"
"""The property of a report that says where the home of a failed test is kept."""
_MOST_TOLD = 5
_SHOW_FRAMES = "aiflow_show_frames"
_OURS = str(Path(__file__).parent) + os.sep
_project, _failed = pytest.StashKey["Project"](), pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--aiflow-keep`, and a setting for those who look for errors in aiflow."""
    group = parser.getgroup("aiflow", "tests of workflows")
    group.addoption(
        "--aiflow-keep", action="store_true", help="keep the home of aiflow_project when a test fails, and say where"
    )
    parser.addini(_SHOW_FRAMES, "show aiflow's own frames where a test fails, as --full-trace does", "bool", False)


@pytest.fixture
def aiflow_clock() -> ManualClock:
    """Give a clock that stands still until `advance(seconds)`."""
    from aiflow.testing import ManualClock

    return ManualClock()


@pytest.fixture
def aiflow_project(
    tmp_path: Path, aiflow_clock: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """Give a project in a fresh home, with the inline runner and the manual clock, as the current project.

    While the test runs, `AIFLOW_HOME` is that home, so that nothing of it goes elsewhere.
    """
    from aiflow.testing import project_for_tests

    home = tmp_path / "aiflow-home"
    monkeypatch.setenv("AIFLOW_HOME", str(home))
    item = request.node
    item.stash[_project] = project = project_for_tests(home, aiflow_clock)
    try:
        with project:
            yield project
            project.close(timeout=0.0)  # what still waits for an event is not waited for
    finally:
        if item.stash.get(_failed, False) and item.config.getoption("aiflow_keep"):
            kept = _where_kept(item)
            shutil.rmtree(kept, ignore_errors=True)  # that of the last time
            shutil.move(home, kept)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a test that fails what ran in its project, and where that is kept; without frames of aiflow's own."""
    if call.excinfo is not None and not item.config.getini(_SHOW_FRAMES):
        _hide_frames(call.excinfo.value)
    report = yield
    project = item.stash.get(_project, None)
    if report.failed and project is not None and report.when != "teardown":
        item.stash[_failed] = True
        if told := _told(project):
            report.sections.append(("aiflow: what ran", told))
        if item.config.getoption("aiflow_keep"):
            report.user_properties.append((_KEPT, str(_where_kept(item))))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say where homes are kept; also if the output of tests is not shown, and if they ran in other processes."""
    # The report of a file that cannot be collected has no user_properties.
    reports = [one for kind in ("failed", "error") for one in terminalreporter.stats.get(kind, ())]
    homes = [
        (one.nodeid, path) for one in reports for name, path in getattr(one, "user_properties", ()) if name == _KEPT
    ]
    if homes:
        terminalreporter.section("homes of failed tests")
        for test, home in dict(homes).items():
            terminalreporter.line(f"{test}\n    aiflow --home {home} list executions")


def _hide_frames(error: BaseException | None) -> None:
    """Mark our frames as pytest wants it, of an error and of those that led to it; what nobody expected keeps them."""
    from aiflow.errors import AIFlowError

    seen: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
        frames = [frame for frame, _ in walk_tb(one.__traceback__)]
        ours = [frame.f_code.co_filename.startswith(_OURS) for frame in frames]
        is_expected = isinstance(one, AIFlowError | TimeoutError) or ours[-1:] != [True]
        if all(ours) or not is_expected:
            continue
        for frame, is_ours in zip(frames, ours, strict=True):
            if is_ours and frame.f_code.co_flags & CO_OPTIMIZED:
                frame.f_locals["__tracebackhide__"] = True  # the locals of a function: nobody else sees it there


def _where_kept(item: pytest.Item) -> Path:
    """Give a folder of the test's own, in the cache that pytest keeps beside the tests."""
    name = re.sub(r"\W+", "_", item.nodeid)[-60:] + "-" + sha256(item.nodeid.encode("utf-8", "replace")).hexdigest()[:8]
    cache = item.config.cache if item.config.pluginmanager.hasplugin("cacheprovider") else None
    return item.stash[_project].home.parent / name if cache is None else cache.mkdir("aiflow") / name


def _told(project: Project) -> str:
    """Give the newest executions as text, the last one last."""
    from aiflow.display import execution_text
    from aiflow.errors import AIFlowError

    try:
        newest = project.executions.list(limit=_MOST_TOLD)[::-1]
        return "\n".join(map(execution_text, newest)).encode("utf-8", "backslashreplace").decode()
    except AIFlowError:  # the test has closed the project, or has spoiled its home
        return ""
