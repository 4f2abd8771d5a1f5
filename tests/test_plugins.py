"""Plugins: a runner of their own, and being told of what happens, in order, whatever they do."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.hooks import hookimpl, manager
from aiflow.runners.base import Ended, Runner, RunnerHost, Work
from aiflow.testing import project_for_tests, run_until_idle, serving


@af.job
def double(n: int) -> int:
    return 2 * n


@af.job(runner="shouting")
def shout(text: str) -> str:
    return text


@af.workflow(start_on=af.event("go"))
def doubling(n: int = 1) -> None:
    double(n)


class Shouting:
    """A runner that runs jobs at once, and makes their values louder."""

    capacity: int | None = None

    def __init__(self, host: RunnerHost) -> None:
        self.home = host.home

    def start(self, work: Work, done: Any) -> None:
        function, args, kwargs = work.load()
        done(work, Ended("SUCCESS", function(*args, **kwargs).upper()))

    def stop(self, work: Work) -> None: ...

    def close(self) -> None: ...


class Runners:
    @hookimpl
    def aiflow_runners(self) -> dict[str, Any]:
        return {"shouting": Shouting}


class Witness:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[af.Event] = []
        self.told: list[tuple[str, str, str]] = []

    @hookimpl
    def aiflow_event_recorded(self, event: af.Event) -> None:
        self.events.append(event)

    @hookimpl
    def aiflow_job_started(self, execution: af.JobExecution) -> None:
        self.told.append(("started", execution.job, str(execution.status)))

    @hookimpl
    def aiflow_job_ended(self, execution: af.JobExecution) -> None:
        self.told.append(("ended", execution.job, str(execution.status)))

    @hookimpl
    def aiflow_execution_ended(self, execution: af.Execution) -> None:
        self.told.append(("over", execution.workflow, str(execution.status)))


class Clumsy:
    @hookimpl
    def aiflow_event_recorded(self, event: af.Event) -> None:
        raise RuntimeError("clumsy")


@pytest.fixture
def plugins() -> Iterator[list[Any]]:
    """Plugins that are forgotten after the test."""
    used: list[Any] = []
    yield used
    for plugin in used:
        if manager().is_registered(plugin):
            manager().unregister(plugin)


def test_a_plugin_adds_a_runner_by_name(tmp_path: Path, plugins: list[Any]) -> None:
    plugins.append(Runners())
    assert isinstance(Shouting, type)
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        execution = project.run(af.workflow(lambda: shout("hello"), name="loud"))
        assert execution.result("shout") == "HELLO"


def test_a_runner_that_nobody_gives_is_refused_with_close_names(tmp_path: Path) -> None:
    with (
        af.Project("p", home=tmp_path) as project,
        pytest.raises(af.ParameterError, match="no runner 'shoutin'.*thread"),
    ):
        project.run(af.workflow(lambda: shout.options(runner="shoutin")("hello"), name="loud"))


class Celsius:
    """Degrees: something that a plugin knows how to write."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __reduce__(self) -> Any:
        raise TypeError("only its plugin can write it")


class Temperatures:
    name = "celsius"

    def handles(self, value: Any) -> bool:
        return type(value).__name__ == "Celsius"

    def dump(self, value: Celsius, file: Any) -> None:
        assert file.tell() == 0
        file.write(f"{value.degrees} degrees".encode())
        file.write(b" " * 20_000)

    def load(self, file: Any) -> Celsius:
        return Celsius(float(file.read().split()[0]))


class Thermometer:
    """A plugin with a serializer; it counts how often it is asked for that."""

    def __init__(self, *serializers: Any) -> None:
        self.serializers, self.asked = serializers, 0

    @hookimpl
    def aiflow_serializers(self) -> list[Any]:
        self.asked += 1
        return list(self.serializers)


@af.job
def warm(degrees: float) -> Celsius:
    return Celsius(degrees)


@af.job
def warming(degrees: float) -> Iterator[Celsius]:
    for more in range(3):
        yield Celsius(degrees + more)


@af.job
def hottest(items: af.Stream[Celsius]) -> float:
    return max(item.degrees for item in items)


def written(project: af.Project, execution: af.Execution) -> list[str]:
    where = "execution_id = ? AND job = 'warm'"
    return [row["codec"] for row in project.db.query(f"SELECT codec FROM job_executions WHERE {where}", [execution.id])]


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_serializer_of_a_plugin_writes_and_reads_its_values_wherever_the_job_runs(
    tmp_path: Path, plugins: list[Any], runner: str
) -> None:
    plugins.append(Thermometer(Temperatures()))
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        execution = project.run(af.workflow(lambda: warm.options(runner=runner)(21.5), name="heat"))
        assert written(project, execution) == ["celsius"]
        flow = af.workflow(lambda: hottest.options(runner=runner)(warming.options(runner=runner)(20.0)), name="flow")
        assert project.run(flow).result("hottest") == 22.0
        assert plugins[0].asked == 1
    with af.Project("p", home=tmp_path) as project:  # from what is stored
        assert project.executions.get(execution.id).result("warm").degrees == 21.5


def test_a_value_whose_plugin_is_gone_says_what_to_install(tmp_path: Path, plugins: list[Any]) -> None:
    plugins.append(Thermometer(Temperatures()))
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        execution = project.run(af.workflow(lambda: warm(21.5), name="heat"))
    manager().unregister(plugins[0])
    with (
        af.Project("p", home=tmp_path) as project,
        pytest.raises(af.StoreError, match="'celsius', which is not here: install its plug-in"),
    ):
        project.executions.get(execution.id).result("warm")


def test_a_plugin_that_comes_when_the_home_is_open_already_is_asked_too(tmp_path: Path, plugins: list[Any]) -> None:
    with af.Project("p", home=tmp_path) as project:
        assert project.run(doubling, n=4).result("double") == 8
        plugins.append(Thermometer(Temperatures()))
        with af.Project("q", home=tmp_path, plugins=plugins):
            execution = project.run(af.workflow(lambda: warm(21.5), name="heat"))
        assert written(project, execution) == ["celsius"]


class Nameless:
    name = ""


class Rival(Temperatures):
    pass


class Thief(Temperatures):
    name = "npy"


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        ([Thief()], "the plugin Thermometer offers a serializer named 'npy': aiflow uses that name itself"),
        ([Nameless()], "the plugin Thermometer offers .*Nameless.* as a serializer, which needs a text 'name'"),
        ([Temperatures(), Rival()], "the plugins Thermometer and Thermometer both offer a serializer named 'celsius'"),
    ],
    ids=["a name of ours", "no serializer", "one name twice"],
)
def test_serializers_that_do_not_fit_are_refused_with_the_name_of_the_plugin_and_leave_nothing(
    tmp_path: Path, plugins: list[Any], offered: list[Any], message: str
) -> None:
    plugins.append(Thermometer(*offered))
    with pytest.raises(af.ParameterError, match=message):
        af.Project("p", home=tmp_path / "home", plugins=plugins)
    assert not (tmp_path / "home").exists()
    assert not manager().is_registered(plugins[0])
    with af.Project("p", home=tmp_path / "home") as project:
        assert project.run(doubling, n=4).result("double") == 8


def test_two_plugins_with_serializers_of_one_name_are_both_named(tmp_path: Path, plugins: list[Any]) -> None:
    class Other(Thermometer):
        pass

    plugins += [Thermometer(Temperatures()), Other(Rival())]
    with pytest.raises(af.ParameterError, match="the plugins .*Other and Thermometer both offer .* named 'celsius'"):
        af.Project("p", home=tmp_path, plugins=plugins)


def test_a_plugin_that_fails_when_it_is_asked_for_serializers_is_named(tmp_path: Path, plugins: list[Any]) -> None:
    class Broken:
        @hookimpl
        def aiflow_serializers(self) -> list[Any]:
            raise RuntimeError("no thermometer")

    plugins.append(Broken())
    with pytest.raises(af.ParameterError, match="the plugin .*Broken failed in aiflow_serializers.*no thermometer"):
        af.Project("p", home=tmp_path, plugins=plugins)


class Nervous(Temperatures):
    def handles(self, value: Any) -> bool:
        if type(value) is Celsius:
            raise ZeroDivisionError("too cold")
        return False


class Stuttering(Temperatures):
    def dump(self, value: Celsius, file: Any) -> None:
        file.write(b" " * 100_000)
        raise OSError("out of ink")


@pytest.mark.parametrize(
    ("serializer", "message"),
    [
        (
            Nervous(),
            r"Celsius, and the serializer 'celsius' failed when it was asked .*\(ZeroDivisionError: too cold\)",
        ),
        (Stuttering(), r"Celsius and cannot be serialised by the serializer 'celsius' \(OSError: out of ink\)"),
    ],
    ids=["handles", "dump"],
)
@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_serializer_that_raises_is_the_trouble_of_that_value_only(
    tmp_path: Path, plugins: list[Any], serializer: Any, message: str, runner: str
) -> None:
    plugins.append(Thermometer(serializer))
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        with pytest.raises(af.ExecutionFailed, match=message):
            project.run(af.workflow(lambda: warm.options(runner=runner)(21.5), name="heat"))
        assert project.run(doubling, n=4).result("double") == 8
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


def test_a_serializer_that_cannot_go_to_a_process_is_named(tmp_path: Path, plugins: list[Any]) -> None:
    import threading

    serializer: Any = Temperatures()
    serializer.lock = threading.Lock()
    plugins.append(Thermometer(serializer))
    with (
        af.Project("p", home=tmp_path, plugins=plugins) as project,
        pytest.raises(
            af.ExecutionFailed, match="the serializer 'celsius' of a plugin cannot be sent to another process"
        ),
    ):
        project.run(af.workflow(lambda: warm.options(runner="process", retries=0)(21.5), name="heat"))


def test_observers_are_told_of_everything_in_order_and_of_triggers_only_the_events(
    tmp_path: Path, plugins: list[Any]
) -> None:
    witness = Witness()
    plugins.append(witness)
    with af.Project("p", home=tmp_path, plugins=plugins) as project, serving(project, doubling):
        for n in range(5):
            project.publish("go", {"n": n})
        run_until_idle(project)
        offsets = [event.offset for event in witness.events]
        assert offsets == [event.offset for event in project.events.list()]
        each = [("started", "double", "SUCCESS"), ("ended", "double", "SUCCESS"), ("over", "doubling", "SUCCESS")]
        assert [told[:2] for told in witness.told] == [told[:2] for told in each] * 5


def test_a_plugin_that_raises_is_named_in_the_log_and_changes_nothing(
    tmp_path: Path, plugins: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness()
    plugins += [Clumsy(), witness]
    with af.Project("p", home=tmp_path, plugins=plugins) as project, caplog.at_level(logging.ERROR):
        assert project.run(doubling, n=4).result("double") == 8
        run_until_idle(project)
        assert witness.told[-1] == ("over", "doubling", "SUCCESS")
    assert "failed in aiflow_event_recorded" in caplog.text


class Forgetful:
    def aiflow_event_recorded(self, evnt: af.Event, seen: list[str]) -> None: ...


class Provident:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def aiflow_event_recorded(self, event: af.Event, prefix: str = "seen ") -> None:
        self.seen.append(prefix + event.key)


def test_a_hook_is_found_by_its_name_and_may_have_parameters_with_defaults(tmp_path: Path, plugins: list[Any]) -> None:
    plugins.append(plugin := Provident())
    with project_for_tests(tmp_path / "home", plugins=[plugin]) as project:
        project.publish("go")
    assert plugin.seen == ["seen go"]


def test_a_hook_that_asks_for_what_there_is_not_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(
            af.ParameterError, match=r"Forgetful does not fit: \w+ asks for evnt, seen, but that hook gives event"
        ),
        project_for_tests(tmp_path / "home", plugins=[Forgetful()]),
    ):
        pass


def test_a_plugin_is_told_of_what_this_process_does_not_of_what_others_do(tmp_path: Path, plugins: list[Any]) -> None:
    from tests.children import alone

    witness = Witness()
    plugins.append(witness)
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        project.publish("mine")
        alone(publish, str(tmp_path))
        project.publish("mine too")
        run_until_idle(project)
    assert [event.key for event in witness.events] == ["mine", "mine too"]


def publish(home: str) -> None:
    """Publish in another process."""
    with af.Project(home=home) as project:
        project.publish("theirs")


_: type[Runner] = Shouting
