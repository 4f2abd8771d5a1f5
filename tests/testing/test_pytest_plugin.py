"""The pytest plugin as users have it: what its fixtures give, what a test leaves behind, what is told of one that fails."""

import json
import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import aiflow as af

pytest_plugins = ["pytester"]

FLOW = """
    import os
    import aiflow as af

    @af.job(retries=1, retry_delay=600)
    def download(word):
        if af.current().attempt == 1:
            raise OSError("busy")
        return word.upper()

    @af.workflow
    def fetching(word: str = "a"):
        download(word)
"""


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """Import what aiflow imports when it is first needed: pytester forgets what a run has imported, and would get it twice."""
    for module in walk_packages(af.__path__, "aiflow."):
        if not module.name.startswith(("aiflow.cli", "aiflow.__main__")) and "flink" not in module.name:
            import_module(module.name)


def run(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(FLOW + tests)
    return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:hypothesispytest", *options)


def kept(result: pytest.RunResult) -> list[Path]:
    return [Path(found) for found in re.findall(r"aiflow --home (\S+) list executions", result.stdout.str())]


def test_the_fixtures_give_a_fresh_home_jobs_inline_and_a_clock_by_hand(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    def test_a_retry_takes_no_time(aiflow_project, aiflow_clock):
        execution = aiflow_project.start(fetching, word="b")
        assert execution.job("download").status == "RETRYING"
        aiflow_clock.advance(600)
        assert execution.result("download") == "B"

    def test_nothing_of_another_test_is_there(aiflow_project, aiflow_clock):
        assert aiflow_project.executions.count() == 0
        assert aiflow_project.events.count() == 0
        assert aiflow_clock.now() == type(aiflow_clock)().now()

    def test_what_is_opened_by_default_is_that_home_too(aiflow_project):
        assert af.project() is aiflow_project
        assert os.environ["AIFLOW_HOME"] == str(aiflow_project.home)
        with af.Project() as again:
            assert again.home == aiflow_project.home
""",
    )
    result.assert_outcomes(passed=3)


FAILING = """
    def test_fails(aiflow_project, aiflow_clock):
        execution = aiflow_project.start(fetching)
        aiflow_project.publish("seen", 1)
        assert execution.status == "SUCCESS"

    def test_passes(aiflow_project):
        aiflow_project.publish("seen", 2)
"""


def test_a_test_that_fails_is_told_with_what_ran(pytester: pytest.Pytester) -> None:
    result = run(pytester, FAILING)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*aiflow: what ran*", "execution * of fetching: RUNNING", "*download  RETRYING*busy*"])
    assert kept(result) == []


def test_the_home_of_a_failed_test_is_kept_if_asked_for_and_said_where(pytester: pytest.Pytester) -> None:
    for _ in range(2):  # the second time it takes the place of the first
        result = run(pytester, FAILING, "--aiflow-keep", "--show-capture=no", "-o", "tmp_path_retention_policy=none")
        (home,) = kept(result)
        with af.Project(home=home) as project:
            assert [event.value for event in project.events.list(keys="seen")] == [1]
            assert [execution.workflow for execution in project.executions.list()] == ["fetching"]
    assert home.is_relative_to(pytester.path / ".pytest_cache")


def test_the_home_is_kept_without_a_cache_of_pytest_and_of_a_test_that_cannot_begin(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    import pytest

    @pytest.fixture
    def spoiled(aiflow_project):
        aiflow_project.close()
        raise OSError("no network")

    @pytest.mark.parametrize("name", ["a/b", "\\\\ud800"])
    def test_needs_it(spoiled, name): ...
""",
        "--aiflow-keep", "-p", "no:cacheprovider",
    )  # fmt: skip
    result.assert_outcomes(errors=2)
    assert len(set(kept(result))) == 2
    assert all((home / "aiflow.db").is_file() for home in kept(result))


def test_a_file_that_cannot_be_collected_is_an_error_of_its_own(pytester: pytest.Pytester) -> None:
    result = run(pytester, "\n    import there_is_no_such_module\n")
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*No module named 'there_is_no_such_module'"])


def test_what_is_told_of_a_test_crosses_processes(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    pytester.makepyfile(FLOW + FAILING.replace("(fetching", "(fetching, word='\\ud83d'"))
    config, hook = request.config, request.config.hook
    ran = pytester.inline_run("-p", "no:randomly", "-p", "no:hypothesispytest", "--aiflow-keep")
    (failed,) = [report for report in ran.getreports("pytest_runtest_logreport") if report.failed]
    sent = json.dumps(hook.pytest_report_to_serializable(config=config, report=failed)).encode()  # as xdist sends it
    came = hook.pytest_report_from_serializable(config=config, data=json.loads(sent))
    assert list(map(tuple, came.sections)) == failed.sections
    assert list(map(tuple, came.user_properties)) == failed.user_properties != []
    assert "of fetching: RUNNING" in dict(came.sections)["aiflow: what ran"]


FAILING_DEEP = """
    @af.workflow
    def broken(n: int):
        raise KeyError(n)

    @af.workflow
    def asking(n: int):
        range(n)

    def test_a_job_fails(aiflow_project):
        aiflow_project.run(af.workflow(lambda: af.job(lambda: 1 / 0, name="divide")(), name="dividing"))

    def test_a_body_fails(aiflow_project):
        aiflow_project.run(broken, n=1)

    def test_an_error_has_a_cause():
        asking.graph

    def test_something_unexpected():
        from aiflow.graph.html import duration
        duration("a")
"""


def frames_of_ours(result: pytest.RunResult) -> list[str]:
    return re.findall(r"^\S*/src/(aiflow/\S+?):\d+: ", result.stdout.str(), re.MULTILINE)


@pytest.mark.parametrize("test", ["a_job_fails", "a_body_fails", "an_error_has_a_cause"])
def test_a_failure_is_shown_without_our_frames_unless_asked_for(pytester: pytest.Pytester, test: str) -> None:
    options = "-k", test
    result = run(pytester, FAILING_DEEP, *options)
    result.assert_outcomes(failed=1, deselected=3)
    assert frames_of_ours(result) == []
    assert "All traceback entries are hidden" not in result.stdout.str()
    assert frames_of_ours(run(pytester, FAILING_DEEP, *options, "--full-trace"))
    assert frames_of_ours(run(pytester, FAILING_DEEP, *options, "-o", "aiflow_show_frames=true"))


def test_what_nobody_expected_is_shown_with_our_frames(pytester: pytest.Pytester) -> None:
    assert frames_of_ours(run(pytester, FAILING_DEEP, "-k", "unexpected"))
