"""What the machine remembers of one execution; a fold over its events, and plain data.

Knows nothing of why it changes (that is the machine) and of where it is kept.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from aiflow.graph.event import Draft
from aiflow.graph.execution import ExecutionStatus, JobStatus
from aiflow.graph.plan import Plan, Vertex
from aiflow.graph.rule import Progress

__all__ = [
    "IMPLIED",
    "REFUSED",
    "REQUESTED",
    "ExecutionState",
    "Feed",
    "Firing",
    "Gated",
    "Held",
    "JobState",
    "Run",
    "Start",
    "is_true",
]

IMPLIED, REQUESTED = -1, -2
"""In `Start.rule`: started by its upstreams, or because somebody asked."""

REFUSED = "REFUSED"
"""In `JobState.last`: the status was SUCCESS, and what depends on the job is skipped all the same (rule 38)."""


class Start(NamedTuple):
    """One start of a job that waits for its turn."""

    events: tuple[int, ...]
    rule: int = IMPLIED
    inputs: tuple[tuple[int, int], ...] = ()
    shadowed: tuple[int, ...] = ()
    skip: str | None = None  # why it will be SKIPPED when its turn has come
    merges: bool = False  # whether a later one of its kind joins it


class Feed(NamedTuple):
    """One end of a recurring upstream, or one item of a stream, that a dependant has not used yet.

    `number` is that of the run, or of the item; the start of a stream is one of these to who takes it as an iterator.
    """

    number: int
    offset: int
    reason: str | None = None
    truth: Any = None


class Firing(NamedTuple):
    """A rule that acted, and those of the same job that the same event met and that were consumed by it (rule 7)."""

    vertex: int
    rule: int
    consumed: tuple[int, ...]
    offset: int


class Held:
    """An event that concerns rules of one job and waits until functions of the user have said what they think of it."""

    __slots__ = ("asked", "met", "offset", "open", "time")

    def __init__(self, offset: int, time: float) -> None:
        self.offset, self.time = offset, time
        self.met: list[tuple[int, ...]] = []  # (rule, leaf): met without asking, or by a True
        self.open: list[tuple[int, ...]] = []  # (rule, leaf): not answered yet
        self.asked: set[tuple[int, ...]] = set()  # of these, what this process has asked for

    @property
    def rules(self) -> set[int]:
        """The rules that it concerns."""
        return {rule for rule, _ in (*self.met, *self.open)}

    def dump(self) -> list[Any]:
        """Give it as JSON data."""
        return [self.offset, self.time, [list(m) for m in self.met], [list(o) for o in self.open]]

    @classmethod
    def load(cls, data: list[Any]) -> Held:
        """Take it from JSON data that `dump` gave."""
        held = cls(data[0], data[1])
        held.met, held.open = [tuple(m) for m in data[2]], [tuple(o) for o in data[3]]
        return held


class Gated(NamedTuple):
    """An event that waits for the workflow's `context` function (`is_open`), or for those before it."""

    offset: int
    time: float
    spots: list[tuple[int, int, int]]
    is_open: bool


class Run:
    """One execution of a job that has not ended yet."""

    __slots__ = ("attempt", "due", "items", "losses", "number", "setbacks", "start", "status", "timed_out")

    def __init__(self, number: int, start: Start) -> None:
        self.number, self.start = number, start
        self.attempt = 1
        self.losses = 0
        self.setbacks = 0  # losses since it last emitted an item
        self.items = 0  # that it has emitted
        self.status: str = "RUNNING"
        self.timed_out = False
        self.due = 0.0


class JobState:
    """Where one job of one execution stands."""

    __slots__ = (
        "bad",
        "began",
        "feeds",
        "items",
        "last",
        "left",
        "need",
        "number",
        "progress",
        "restart",
        "runs",
        "starts",
        "starved",
        "success",
        "ticketed",
        "truth",
        "used",
    )

    def __init__(self, need: int) -> None:
        self.need = need  # one-shot upstreams that have not succeeded
        self.bad = 0  # one-shot upstreams that ended otherwise
        self.number = 0  # of the latest run or skip
        self.began = 0  # of the latest run that ever ran
        self.success = 0  # number of the latest run that succeeded; of a stream whose items start jobs, the latest item
        self.items = 0  # how many a stream has emitted, in all of its runs
        self.last: str | None = None  # how the latest run ended
        self.truth: Any = None  # what run_if asks of the latest value
        self.runs: dict[int, Run] | None = None
        self.starts: deque[Start] | None = None
        self.restart: Start | None = None
        self.feeds: dict[int, deque[Feed]] | None = None
        self.progress: dict[int, Progress] | None = None
        self.starved = False  # whether the starts wait for the value of an upstream
        self.ticketed = False
        self.left: tuple[Start, ...] = ()  # starts by items that stopping the execution dropped; they are for `resume`
        self.used: Start | None = None  # what the latest run was started by, or would have been; it is for `resume`


class ExecutionState:
    """Everything the machine knows of one execution.

    Attributes
    ----------
    outbox
        Events that the machine decided on and that are not in the log yet, in order.
    ready
        Vertices that may start as soon as there is room for them.
    commands
        What the engine has to do after the commit.
    """

    __slots__ = (
        "began", "begun_at", "busy", "commands", "context", "execution_id", "firings", "gated", "held", "jobs", "keeper", "namespace", "outbox", "paused", "plan",
        "ready", "status", "stop_progress", "stop_reason", "ticked", "unended", "unsettled", "witness",
    )  # fmt: skip

    def __init__(self, plan: Plan, execution_id: str, namespace: str = "default", context: str | None = None) -> None:
        self.plan, self.execution_id, self.namespace, self.context = plan, execution_id, namespace, context
        self.status = ExecutionStatus.INIT
        self.jobs = [JobState(len(v.needs)) for v in plan.vertices]
        self.paused = False
        self.firings: list[Firing] | None = None  # kept only for who explains, in a state made anew for that
        self.busy = 0  # starts and runs that have not ended, and questions that have no answer
        self.unended = sum(not v.given for v in plan.vertices)  # jobs that never ended
        self.unsettled = True  # whether liveness must be looked at again
        self.witness = -1  # a job that never ended and that something outside can still start
        self.keeper = -1  # a job that time can start again, whatever happens
        self.began = 0.0
        self.begun_at = (
            0  # the offset of the last event that belongs to its beginning; what is over before is not over yet
        )
        self.ticked: dict[str, float] = {}  # by the key of a condition on time: when it was due last
        self.stop_progress: Progress | None = None
        self.stop_reason: str | None = None
        self.held: dict[int, list[Held]] = {}
        self.gated: deque[Gated] = deque()
        self.outbox: deque[Draft] = deque()
        self.ready: list[int] = []
        self.commands: list[Any] = []
        for vertex in plan.vertices:
            if vertex.given:
                self.jobs[vertex.index].last = "SUCCESS"
                for index in vertex.down:
                    self.jobs[index].need -= 1

    def job(self, name: str) -> JobState:
        """Give the state of a job by name."""
        return self.jobs[self.plan.by_name[name]]

    def runs(self) -> list[tuple[int, Run]]:
        """Give all runs that have not ended, with their vertices."""
        return [(i, run) for i, job in enumerate(self.jobs) if job.runs for run in job.runs.values()]

    @property
    def waiting(self) -> int:
        """How many starts wait for their turn."""
        return sum(len(job.starts) for job in self.jobs if job.starts)

    def dump(self) -> dict[str, Any]:
        """Give the state as JSON data (its tuples are lists there), small: jobs that are as at the start are left out."""
        return {
            "status": str(self.status),
            "busy": self.busy,
            "paused": self.paused,
            "unended": self.unended,
            "unsettled": self.unsettled,
            "witness": self.witness,
            "keeper": self.keeper,
            "began": self.began,
            "ticked": dict(self.ticked),
            "stop_reason": self.stop_reason,
            "stop": self.stop_progress.dump() if self.stop_progress else None,
            "held": {str(i): [h.dump() for h in held] for i, held in self.held.items()},
            "gated": [list(g) for g in self.gated],
            "outbox": [list(d) for d in self.outbox],
            "jobs": {
                str(i): _dump_job(job) for i, job in enumerate(self.jobs) if _is_touched(job, self.plan.vertices[i])
            },
        }

    def load(self, data: dict[str, Any]) -> ExecutionState:
        """Take the state from JSON data that `dump` gave for the same plan."""
        self.status = ExecutionStatus(data["status"])
        self.busy, self.unended, self.paused = data["busy"], data["unended"], data["paused"]
        self.unsettled, self.witness, self.keeper = data["unsettled"], data["witness"], data["keeper"]
        self.began, self.ticked = data["began"], dict(data["ticked"])
        self.stop_reason = data["stop_reason"]
        if data["stop"] is not None and self.plan.stop_on is not None:
            self.stop_progress = Progress(self.plan.stop_on).load(data["stop"])
        self.held = {int(i): [Held.load(h) for h in held] for i, held in data["held"].items()}
        self.gated = deque(
            Gated(o, t, [(v, r, n) for v, r, n in spots], is_open) for o, t, spots, is_open in data["gated"]
        )
        self.outbox = deque(Draft(*d) for d in data["outbox"])
        self.ready, self.commands = [], []
        for key, value in data["jobs"].items():
            _load_job(self, int(key), value)
        return self


def is_true(state: ExecutionState, up: int, output: int | str | None, truths: dict[int, Any] | None = None) -> bool:
    """Tell whether a value of an upstream, else its latest, is true, as `run_if` asks; that of a given job is, if unknown."""
    truth = truths[up] if truths and up in truths else state.jobs[up].truth
    if state.plan.vertices[up].given:
        truth = truth if truth is not None else True
    if output is not None and isinstance(truth, dict):
        truth = truth.get(str(output))
    return bool(truth)


def _is_touched(job: JobState, vertex: Vertex) -> bool:
    if job.need != len(vertex.needs) or job.number or job.runs or job.starts or job.used:
        return True
    return bool(vertex.given or job.progress or job.feeds or job.bad or job.last)


def _load_start(data: list[Any] | None) -> Start | None:
    if data is None:
        return None
    events, rule, inputs, shadowed, skip, merges = data
    return Start(tuple(events), rule, tuple((up, number) for up, number in inputs), tuple(shadowed), skip, merges)


def _dump_job(job: JobState) -> dict[str, Any]:
    return {
        "need": job.need, "bad": job.bad, "number": job.number, "success": job.success, "items": job.items, "began": job.began, "last": job.last, "truth": job.truth, "starved": job.starved,
        "runs": [[r.number, r.attempt, r.losses, r.status, r.timed_out, r.due, r.setbacks, r.items, r.start] for r in (job.runs or {}).values()],
        "starts": list(job.starts or ()),
        "restart": job.restart,
        "used": job.used,
        "left": job.left,
        "feeds": {str(k): list(v) for k, v in (job.feeds or {}).items()},
        "progress": {str(k): p.dump() for k, p in (job.progress or {}).items()},
    }  # fmt: skip


def _load_job(state: ExecutionState, index: int, data: dict[str, Any]) -> None:
    job, vertex = state.jobs[index], state.plan.vertices[index]
    job.need, job.bad, job.number, job.success = data["need"], data["bad"], data["number"], data["success"]
    job.last, job.truth, job.items, job.began = data["last"], data["truth"], data["items"], data["began"]
    job.starved = data["starved"]
    job.restart, job.used = _load_start(data["restart"]), _load_start(data["used"])
    job.left = tuple(s for s in map(_load_start, data["left"]) if s)
    for number, attempt, losses, status, timed_out, due, setbacks, items, start in data["runs"]:
        run = Run(number, _load_start(start) or Start(()))
        run.attempt, run.losses, run.status, run.timed_out, run.due = attempt, losses, status, timed_out, due
        run.setbacks, run.items = setbacks, items
        job.runs = job.runs or {}
        job.runs[number] = run
    if data["starts"]:
        job.starts = deque(s for s in map(_load_start, data["starts"]) if s)
    if data["feeds"]:
        job.feeds = {int(k): deque(Feed(*f) for f in v) for k, v in data["feeds"].items()}
    if data["progress"]:
        job.progress = {int(k): Progress(vertex.rules[int(k)].condition).load(p) for k, p in data["progress"].items()}
    if any(run.status == JobStatus.QUEUED for run in (job.runs or {}).values()) or job.starts:
        state.ready.append(index)
