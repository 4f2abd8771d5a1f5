"""A notebook in a real Jupyter kernel: jobs defined in cells run on threads and in processes, and are shown."""

import os
import re
from textwrap import dedent
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = {
    "jobs": """
        import asyncio, os
        import aiflow as af

        BAR = 4                     # jobs see what is defined in other cells

        def mean(rows):
            return sum(rows) / len(rows)

        @af.job
        def load(n: int) -> list[int]:
            print(f"loading {n} rows")
            return list(range(n))

        @af.job
        def train(rows, scale):
            found = scale * mean(rows)
            if found >= BAR:
                af.current().publish("model.good", found)
            return found

        @af.job
        def report():
            event = af.current().event
            return f"{event.key} from {event.sender}: {event.value}"
    """,
    "workflow": """
        @af.workflow
        def first(n: int = 5, scale: float = 2.0):
            train(load(n), scale)
            report().start_on(af.event("model.good").own())
    """,
    "graph": "first.graph",
    "workflow shown": "first",
    "the loop runs": "asyncio.get_running_loop().is_running()",
    "run": """
        project = af.Project("notebook")
        execution = project.run(first)
        execution.result("report")
    """,
    "execution": "execution",
    "text": "print(execution, execution.jobs[0].status)",
    "arun": """
        ticks = 0

        async def tick():
            global ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        @af.job
        async def wait():
            await asyncio.sleep(0.1)
            return "waited"

        @af.workflow
        def waits():
            wait()

        ticking = asyncio.ensure_future(tick())
        execution = await project.arun(waits)
        ticking.cancel()
        assert ticks > 10, "the loop of the notebook went on meanwhile"
        execution.result("wait")
    """,
    "default project": """
        first.run(n=9).result("train")
    """,
    "defined again": """
        @af.job
        def train(rows, scale):
            return -1

        @af.workflow
        def first(n: int = 5, scale: float = 2.0):
            train(load(n), scale)

        again = first.run()
        (again.result("train"), again.job_names, first.graph.nodes)
    """,
    "processes": """
        @af.job(runner="process")
        def square(x):
            af.current().publish("squared", x)
            print("squaring", x)
            return (x * x * BAR, os.getpid())

        @af.job
        def collect(pairs):
            assert os.getpid() not in {pid for _, pid in pairs}
            return sum(number for number, _ in pairs)

        @af.job(runner="process")
        def call(function, x):
            return function(x) + mean([1, 2, 3])

        @af.workflow
        def squares(n: int = 4):
            collect(square.map(load(n)))
            call(lambda x: x + BAR, 10)

        execution = project.run(squares, timeout=60)
        heard = len(project.events.list(keys="squared"))
        (execution.result("collect"), execution.result("call"), heard, "squaring 3" in execution.logs("square"))
    """,
    "subscription": """
        heard = []
        with project.subscribe(heard.append, keys="hello") as subscription:
            project.publish("hello", {"n": 1})
            async with asyncio.timeout(60):
                while not heard:
                    await asyncio.sleep(0.01)
        heard[0].value
    """,
    "experiment": """
        with project.track("cells", k=3) as experiment:
            experiment.log_metrics([("loss", 1 / (n + 1), n) for n in range(5)])
        project.metrics.history("loss")
    """,
    "compared": "project.executions.compare(workflow='cells')",
    "lists": "[project.executions.list(limit=3), project.events.list(limit=3)][1]",
    "model": """
        knn = project.models.register("knn")
        knn.log([1], stage="DEPLOYED")
        knn
    """,
    "lineage": "project.lineage.upstream('knn:1')",
    "project": "project",
    "running": """
        @af.job
        def waits_for(event_key):
            return event_key

        @af.workflow
        def answers():
            waits_for("question").start_on(af.event("question"))

        running = project.start(answers)
        running
    """,
    "answered": """
        project.publish("question")
        running.wait()
    """,
    "long run": """
        @af.job
        def long():
            af.current().wait_stop(1.3)

        @af.workflow
        def takes_long():
            long()

        project.run(takes_long)
    """,
    "failure": """
        @af.job
        def divide(x):
            return x / 0

        @af.workflow
        def fails():
            divide(3)

        project.run(fails)
    """,
    "failed execution": "project.executions.list(limit=1)[0]",
    "unknown parameter": "first.run(scael=3)",
    "value while building": """
        @af.workflow
        def asks():
            if load(3):
                report()

        asks.graph
    """,
    "interrupt": """
        import signal, threading

        @af.job
        def endless():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            af.current().wait_stop(30)

        @af.workflow
        def goes_on():
            endless()

        project.run(goes_on)
    """,
    "interrupted": "(str(project.executions.list(limit=1)[0].status), project.executions.list(limit=1)[0].reason)",
    "close": "project.close()",
}
FAILING = ("failure", "unknown parameter", "value while building", "interrupt")

Outputs = dict[str, list[Any]]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Run the notebook in a kernel of its own, once; give the outputs of each cell."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(dedent(source).strip()) for source in CELLS.values()]
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "AIFLOW_HOME": str(folder / ".aiflow"), "IPYTHONDIR": str(folder / "ipython")})
    return dict(zip(CELLS, (cell.outputs for cell in notebook.cells), strict=True))


def value(outputs: Outputs, cell: str) -> str:
    """Give what a cell evaluated to, as text."""
    return str(shown(outputs, cell)["text/plain"])


def shown(outputs: Outputs, cell: str) -> dict[str, str]:
    (result,) = [one for one in outputs[cell] if one.output_type == "execute_result"]
    return dict(result.data)


def error(outputs: Outputs, cell: str) -> Any:
    (found,) = [one for one in outputs[cell] if one.output_type == "error"]
    return found


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in FAILING])
def test_no_cell_fails_that_should_not(outputs: Outputs, cell: str) -> None:
    assert [one.evalue for one in outputs[cell] if one.output_type == "error"] == []


def test_run_waits_inside_the_loop_of_the_kernel_and_events_go_between_jobs(outputs: Outputs) -> None:
    assert value(outputs, "the loop runs") == "True"
    assert value(outputs, "run") == "'model.good from train: 4.0'"


def test_what_jobs_print_is_shown_in_the_notebook(outputs: Outputs) -> None:
    assert "loading 5 rows" in "".join(one.text for one in outputs["run"] if one.output_type == "stream")


def test_arun_leaves_the_loop_of_the_kernel_free(outputs: Outputs) -> None:
    assert value(outputs, "arun") == "'waited'"


def test_a_workflow_runs_in_the_default_project(outputs: Outputs) -> None:
    assert value(outputs, "default project") == "8.0"


def test_a_workflow_that_is_defined_again_replaces_the_one_before(outputs: Outputs) -> None:
    assert value(outputs, "defined again") == "(-1, ['load', 'train'], [load, train])"


def test_functions_of_the_notebook_run_in_processes(outputs: Outputs) -> None:
    assert value(outputs, "processes") == f"({4 * (0 + 1 + 4 + 9)}, 16.0, 4, True)"


def test_subscribers_hear_what_the_notebook_publishes(outputs: Outputs) -> None:
    assert value(outputs, "subscription") == "{'n': 1}"


@pytest.mark.parametrize("cell", ["graph", "workflow shown"])
def test_a_graph_and_a_workflow_are_shown_as_a_picture(outputs: Outputs, cell: str) -> None:
    data = shown(outputs, cell)
    assert data["image/svg+xml"].startswith("<svg")
    assert "first" in data["text/plain"]


def test_an_execution_is_shown_with_its_graph_and_jobs_and_reads_as_text(outputs: Outputs) -> None:
    html = shown(outputs, "execution")["text/html"]
    assert "<svg" in html
    assert "<table>" in html
    assert html.count(">SUCCESS<") == 4
    assert "<execution " in value(outputs, "execution")
    (printed,) = outputs["text"]
    assert "of first: SUCCESS> SUCCESS" in printed.text


def test_a_failure_names_the_job_its_error_and_its_line(outputs: Outputs) -> None:
    found = error(outputs, "failure")
    assert found.ename == "ExecutionFailed"
    assert "divide: ZeroDivisionError: division by zero" in found.evalue
    assert "return x / 0" in found.evalue
    html = shown(outputs, "failed execution")["text/html"]
    assert "ZeroDivisionError" in html
    assert ">FAILED<" in html


def test_a_wrong_parameter_is_refused_with_close_names(outputs: Outputs) -> None:
    found = error(outputs, "unknown parameter")
    assert found.ename == "ParameterError"
    assert "did you mean 'scale'?" in found.evalue


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("unknown parameter", "first.run(scael=3)"),
        ("value while building", "if load(3):"),
        ("failure", "project.run(fails)"),
    ],
)
def test_an_error_shows_the_lines_of_the_notebook_and_none_of_aiflow(outputs: Outputs, cell: str, line: str) -> None:
    told = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(error(outputs, cell).traceback))
    assert line in told
    assert told.count("Cell In") == (2 if cell == "value while building" else 1)
    assert f"{os.sep}aiflow{os.sep}" not in told


def test_a_value_asked_for_too_early_is_explained(outputs: Outputs) -> None:
    found = error(outputs, "value while building")
    assert found.ename == "GraphError"
    assert "run_if" in found.evalue


def test_interrupting_a_cell_stops_the_execution_gracefully(outputs: Outputs) -> None:
    assert error(outputs, "interrupt").ename == "KeyboardInterrupt"
    assert value(outputs, "interrupted") == "('STOPPED', 'interrupted')"


@pytest.mark.parametrize(
    ("cell", "html", "text"),
    [
        ("lists", "<table>", "Event(offset=1"), ("model", ">DEPLOYED<", "<registered model knn>"),
        ("lineage", "<svg ", "model knn:1  deployed"), ("project", "executions", "<project notebook in "),
    ],
)  # fmt: skip
def test_everything_shows_itself_and_reads_as_text(outputs: Outputs, cell: str, html: str, text: str) -> None:
    data = shown(outputs, cell)
    assert html in data["text/html"]
    assert text in data["text/plain"]


@pytest.mark.parametrize(("cell", "workflow"), [("running", "answers"), ("long run", "takes_long")])
def test_a_display_of_what_runs_is_brought_up_to_date_in_its_place(outputs: Outputs, cell: str, workflow: str) -> None:
    (display,) = [one for one in outputs[cell] if one.output_type != "stream"]
    assert display.output_type == "display_data"
    assert f"of {workflow}: SUCCESS" in display.data["text/plain"]
    assert display.data["text/html"].count(">SUCCESS<") == 2


def test_an_experiment_is_tracked_in_a_cell_and_its_metric_is_a_picture_and_text(outputs: Outputs) -> None:
    history = shown(outputs, "experiment")
    assert history["text/html"].startswith("<svg ")
    assert history["image/svg+xml"] == history["text/html"]
    assert history["text/plain"].startswith("loss ")
    compared = shown(outputs, "compared")
    assert "<table>" in compared["text/html"]
    assert "metrics.loss" in compared["text/plain"]
