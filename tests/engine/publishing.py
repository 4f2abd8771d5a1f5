"""What processes of a cluster do, for tests of publishing: each is a process that has the module `aiflow_flink_job`."""

import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.children import fork_together, until

import aiflow as af


@af.job
def hold() -> None:
    af.current().wait_stop(60)


@af.job
def hear() -> Any:
    event = af.current().event
    return None if event is None else event.value


@af.workflow(ends="never")
def holding() -> None:
    hold()
    hear().start_on(af.event("said.*"))


def identify(folder: str, job: dict[str, Any]) -> None:
    """Write the module that says for which job a process works, as the driver does it."""
    shutil.rmtree(Path(folder, "__pycache__"), ignore_errors=True)  # it goes by whole seconds, and this is quicker
    Path(folder, "aiflow_flink_job.py").write_text(f"JOB = {job!r}\n")


def publish_alone(folder: str, keys: list[str]) -> list[Any]:
    """Publish where nobody runs the project; give offsets and senders."""
    sys.path.insert(0, folder)
    events = [af.flink.publish(key, {"n": n}, dedupe_key=key) for n, key in enumerate(keys)]
    return [[e.offset, e.sender, e.context, e.execution_id, e.value] for e in events]


def publish_together(folder: str, processes: int, each: int) -> int:
    """Publish from many processes at once, each the same keys; give how many offsets there were."""
    sys.path.insert(0, folder)
    assert af.flink.publish.__module__ == "aiflow.flink"  # imported before the forks

    def run(number: int) -> list[int]:
        shared = [af.flink.publish("said.shared", n, dedupe_key=f"shared {n}").offset for n in range(each)]
        return shared + [af.flink.publish("said.own", [number, n]).offset for n in range(each)]

    offsets = [offset for found in fork_together(processes, run) for offset in found]
    return len(set(offsets))


def listen(home: str) -> None:
    """Open the endpoint of a home, say where it is, and wait to be killed."""
    with af.Project("p", home=home) as project:
        print("\nlistens", *project._shared.endpoint(), flush=True)
        sys.stdin.read()


def predict_afar(folder: str, live: str) -> list[Any]:
    """Ask a live model that came as bytes, again for each line that comes; say what it answers."""
    sys.path.insert(0, folder)
    model = pickle.loads(bytes.fromhex(live))
    for line in sys.stdin:
        expected = line.strip()
        until(lambda expected=expected: _said(model) == expected)
        print(f"\nanswers {_said(model)}", flush=True)
    return [model.version.stage, model.version.type, model.problem]


def _said(model: af.LiveModel) -> str:
    try:
        return model.index("b") * "." + str(model.version)
    except (af.NotFound, af.StoreError) as error:
        return str(error).partition(";")[0]
