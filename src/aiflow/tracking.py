"""Experiments: a block of the user's own code that is recorded as an execution of one job, `with project.track("name")`.

Knows nothing of turns. The engine runs such an execution as any other; here is the runner of its job, which hands it to
the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Token
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiflow.errors import Conflict, Skip
from aiflow.graph.artifact import Artifact, ArtifactVersion
from aiflow.graph.experiment import BLOCK, Block
from aiflow.graph.metric import Metric
from aiflow.graph.model import Model, ModelVersion, Stage
from aiflow.graph.params import stored
from aiflow.runners.base import Ended, Work
from aiflow.runners.calling import enter_span_of, finish, judge, keep_state
from aiflow.runners.context import JobContext, current_or_none, enter, leave
from aiflow.runners.output import attach_log, close_log, rewrap

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.execution import Execution

__all__ = ["Experiment"]

Done = Callable[[Any, Ended], Any]


class BlockRunner:
    """The runner of blocks: keeps what was started for whoever enters the block. As a thread, it cannot be killed."""

    capacity: int | None = None
    runs_in_place = True

    def __init__(self) -> None:
        self._begun: dict[str, tuple[Work, Done]] = {}

    def start(self, work: Work, done: Done) -> None:
        """Keep it."""
        work.context.is_outside = True
        self._begun[work.key.execution_id] = work, done

    def take(self, execution_id: str) -> tuple[Work, Done]:
        """Give what was started of an execution."""
        return self._begun.pop(execution_id)

    def stop(self, work: Work) -> None:
        """Ask: `stopping` becomes true in the block."""
        work.context.stop_event.set()

    def close(self) -> None:
        """Nothing to free."""


class Experiment:
    """A block of code of which an execution is recorded, with parameters, metrics, models, artifacts and a result; see `Project.track`.

    A context manager, entered once. The execution has one job of the same name: what is logged in the block, also by
    `af.current()` and the project's views, says that this job did it. What the block prints and logs is in the job's log.

    Attributes
    ----------
    name, params
        What it was called, and with what.
    """

    def __init__(self, project: Project, name: str, params: dict[str, Any], source: str) -> None:
        self._project, self._block = project, Block(name, source)
        self.name, self.params = name, params
        stored(params)  # raises, before anything begins
        self._context: JobContext | None = None
        self._tokens: list[Any] = []
        self._ended = Ended("SUCCESS")

    def __repr__(self) -> str:
        return f"<experiment {self.name}{'' if self._context is None else f': {self.execution!r}'}>"

    # --- the block --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._context is not None:
            raise Conflict(
                f"the experiment {self.name!r} was begun already; track it anew: project.track({self.name!r})"
            )
        if (job := current_or_none()) is not None:
            raise Conflict(
                f"the experiment {self.name!r} cannot begin inside {job.job!r}: log to what is running, with "
                "af.current().log_metric(…) and the like"
            )
        self._project._check_open()
        self._work, self._done = self._begin()
        self._context = self._work.context
        rewrap()
        attach_log(self._context, lambda: self._work.log_path)
        self._token: Token[JobContext | None] = enter(self._context)
        self._leave_span = enter_span_of(self._context)
        return self

    def _begin(self) -> tuple[Work, Done]:
        performer = self._project._shared.engine.performer
        runner = performer.runners.get(BLOCK)
        if runner is None:
            runner = BlockRunner()
            performer.add_runner(BLOCK, runner)
        block = self._block
        live = self._project._launcher.launch(block, block.graph, self.params, None, None, None, {})
        begun: tuple[Work, Done] = runner.take(live.execution_id)  # type: ignore[attr-defined]  # it is ours
        return begun

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        context = self._running
        with suppress(ValueError):  # left in another context than it was entered in, such as another cell
            leave(self._token)
            self._leave_span()
        close_log(context)
        if error is not None:
            self._ended = judge(error, self._work.options, context)
        self._done(self._work, keep_state(self._ended, context))
        return isinstance(error, Skip)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Do what follows on behalf of the block, whatever thread this is."""
        token = enter(self._running)
        try:
            yield
        finally:
            leave(token)

    @property
    def _running(self) -> JobContext:
        if self._context is None:
            raise Conflict(
                f"the experiment {self.name!r} has not begun: with project.track({self.name!r}) as experiment:"
            )
        return self._context

    # --- what is recorded -------------------------------------------------------------------------------------------

    @property
    def execution(self) -> Execution:
        """The execution, as `project.executions` has it."""
        return self._project.executions.get(self.id)

    @property
    def id(self) -> str:
        """The id of the execution."""
        return self._running.execution_id

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop; a long loop should look at it. After ten seconds, what it logs is refused."""
        return self._running.stopping

    def log_metric(
        self, name: str, value: Any, step: int | None = None, model: Any = None, dataset: Any = None
    ) -> Metric:
        """Log one value of a metric; see `JobContext.log_metric`. Any thread may."""
        return self._running.log_metric(name, value, step, model, dataset)

    def log_metrics(self, metrics: Any, step: int | None = None, model: Any = None, dataset: Any = None) -> None:
        """Log many values at once; see `JobContext.log_metrics`."""
        self._running.log_metrics(metrics, step, model, dataset)

    def log_model(
        self, value: Any, model: Model | str, stage: Stage | str = Stage.GENERATED, **fields: Any
    ) -> ModelVersion:
        """Keep an object as a new version of a model, which is registered if it is not yet; see `RegisteredModel.log`."""
        with self._acting():
            models = self._project.models
            found = models.register(model) if isinstance(model, Model) else models.find(model)
            return (found or models.register(model)).log(value, stage, **fields)

    def log_artifact(self, artifact: Artifact | str, path: Path | str | None = None) -> ArtifactVersion:
        """Keep what is in a file or folder now as a version of an artifact; see `JobContext.log_artifact`."""
        found: ArtifactVersion = self._running.log_artifact(artifact, path)
        return found

    def set_result(self, value: Any) -> None:
        """Say what came out of it: `execution.result(name)` gives that, if the block ends well.

        Raises
        ------
        RunnerError
            If it cannot be serialised.
        """
        context = self._running
        context.check_alive()
        ended = finish(value, self._work.options)
        ended.stored = self._project._shared.encode(value, f"the result of the experiment {self.name!r}")
        self._ended = ended
