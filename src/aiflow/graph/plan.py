"""What the machine needs to know of a graph, worked out once: who depends on whom, which events concern which rules.

Knows nothing of any execution; one plan serves many.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from aiflow.graph.building import Graph, Node
from aiflow.graph.condition import Condition, EventCondition, Heard, Leaf, StatusCondition, is_glob
from aiflow.graph.event import INTERNAL, job_key
from aiflow.graph.file import FileCondition
from aiflow.graph.gauge import GaugeCondition
from aiflow.graph.job import IfRunning
from aiflow.graph.mark import Mark
from aiflow.graph.metadata import asking_now
from aiflow.graph.rule import Action, Rule, is_external
from aiflow.graph.timing import TimeCondition, timer_key

__all__ = ["GATE", "MAX_LOSSES", "STARTER", "WORKFLOW", "Plan", "Spot", "Vertex"]

WORKFLOW = -1
"""In a `Spot`: the rule is the workflow's own `stop_on`, not a node's."""

GATE = -2
"""In a question: the workflow's `context` function is asked, not a rule."""

MAX_LOSSES = 3
"""How often a job may be lost with its process before it has FAILED (rule 33); what starts executions is never given up."""

STARTER = "starter"
"""The name of the runner that starts executions, for triggers."""

Spot = tuple[int, int, int]
"""Where a leaf stands: (vertex or WORKFLOW, rule, leaf)."""

_NONE: frozenset[int] = frozenset()


class Vertex:
    """A node as the machine sees it."""

    __slots__ = (
        "after_only", "allow_failure", "asked_outputs", "backoff", "conditions", "delay", "down", "emits", "feeds", "given", "has_start",
        "index", "items", "key", "latest", "limits", "most_losses", "name", "needs", "node", "parallel", "policy", "pours", "recurring",
        "retries", "rules", "runner", "stream", "takes", "timeout",
    )  # fmt: skip

    def __init__(self, node: Node, index: int, given: bool, runner: str = "thread") -> None:
        options = node.options
        self.node, self.index, self.name, self.given = node, index, node.name, given
        self.key = job_key(node.name)
        self.down: list[int] = []
        self.needs: tuple[tuple[int, bool], ...] = ()  # one-shot upstreams: (vertex, whether its value is needed)
        self.feeds: tuple[tuple[int, bool], ...] = ()  # recurring upstreams, likewise
        self.after_only: frozenset[int] = _NONE  # upstreams whose values are not needed
        self.conditions: tuple[tuple[int, int | str | None], ...] = ()
        self.asked_outputs: tuple[int | str | None, ...] = ()
        self.rules: tuple[Rule, ...] = () if given else node.rules
        self.has_start = any(r.action is Action.START for r in self.rules)
        self.stream = node.job.is_stream and not given
        self.takes: frozenset[int] = _NONE  # streams that it gets as iterators: it starts when they start
        self.items: frozenset[int] = _NONE  # streams of which each item starts it
        self.emits = self.pours = False  # whether its items start jobs, and whether jobs take them as iterators
        self.recurring = self.stream or any(r.action is not Action.STOP for r in self.rules)
        self.latest = options.latest
        self.policy = options.if_running
        self.parallel = options.max_parallel or 1 if self.policy is IfRunning.PARALLEL else 1
        self.retries = options.retries or 0
        self.delay, self.backoff = options.retry_delay, options.retry_backoff
        self.allow_failure, self.runner = options.allow_failure, options.runner or runner
        if node.job.is_async and self.runner in ("thread", "inline"):
            self.runner = "async"
        if self.stream and self.runner == "inline":
            self.runner = "thread"  # it goes on while others run
        self.timeout = options.timeout
        self.most_losses: float = inf if options.runner == STARTER else MAX_LOSSES
        self.limits = options.limits

    @property
    def flows(self) -> bool:
        """Whether it runs for as long as a stream does; it takes no place of batch jobs then."""
        return self.stream or bool(self.takes)

    def __repr__(self) -> str:
        return f"<vertex {self.name}>"


class Plan:
    """A graph made ready for the machine.

    Parameters
    ----------
    graph
        What the body built.
    chosen
        The jobs to run (None: all); what they need by data and is not chosen counts as given.
    stop_on
        The workflow's own stop condition.
    ends
        The workflow's `ends` option.
    runner
        The runner of jobs that name none.
    asks_context
        Whether the workflow has a `context` function, which decides whom an event is for.
    any_context
        Whether it sees events of all contexts, as triggers do.
    key
        The key of its own events; by default that of an execution of the workflow.
    folder
        Where relative patterns of files are taken from.
    """

    def __init__(
        self,
        graph: Graph,
        chosen: Collection[str] | None = None,
        *,
        given: Collection[str] = (),
        stop_on: Condition | None = None,
        ends: str | None = None,
        runner: str = "thread",
        asks_context: bool = False,
        any_context: bool = False,
        key: str | None = None,
        folder: str = "",
    ) -> None:
        self.graph, self.ends, self.stop_on, self.asks_context = graph, ends, stop_on, asks_context
        self.any_context = any_context or asks_context
        self.key = key or f"execution:{graph.name}"
        self.vertices: list[Vertex] = []
        self.by_name: dict[str, int] = {}
        self._runner, self.folder = runner, folder
        self._select(graph, chosen, set(given))
        self._connect()
        self._spread_recurrence()
        for vertex in self.vertices:
            ups = self._upstreams(vertex)
            vertex.needs = tuple(u for u in ups if not self.vertices[u[0]].recurring)
            vertex.feeds = tuple(u for u in ups if self.vertices[u[0]].recurring)
            if not all(needed for _, needed in ups):
                vertex.after_only = frozenset(up for up, needed in ups if not needed)
            if vertex.feeds:
                self._connect_streams(vertex)
        self.emitters = tuple(v.index for v in self.vertices if v.emits)
        self.has_streams = any(v.stream for v in self.vertices)
        self.by_key: dict[str, list[tuple[Heard, Spot]]] = {}
        self.patterns: list[tuple[Heard, Spot]] = []
        self.by_folder: dict[str, list[tuple[FileCondition, Spot]]] = {}  # by the root of the pattern
        self.by_status: dict[int, list[tuple[StatusCondition, Spot]]] = {}
        self.by_mark: dict[tuple[int, Mark], list[Spot]] = {}  # what is asked of the gauges of jobs
        self.met_before: list[Spot] = []  # leaves that wait for the success of a job that does not run in this part
        self.timers: dict[str, TimeCondition] = {}  # by key: equal conditions share one
        self.by_timer: dict[str, list[Spot]] = {}
        self.keepers: list[tuple[int, int]] = []  # (vertex, rule): they can start a job for ever, by themselves
        self.merging: set[Spot] = set()  # leaves of whose starts only one waits, unless the job says otherwise
        self.hears_internal = False
        self.asked: set[Spot] = set()  # the leaves that leave the last word to a function of the user
        for vertex in self.vertices:
            for number, rule in enumerate(vertex.rules):
                self._index_leaves(rule.leaves, vertex.index, number)
                if rule.action is not Action.STOP and any(leaf.keeps_open for leaf in rule.leaves):
                    self.keepers.append((vertex.index, number))
        if stop_on is not None:
            self._index_leaves(tuple(stop_on.leaves()), WORKFLOW, 0)
        every = [rule.condition for vertex in self.vertices for rule in vertex.rules]
        every += [] if stop_on is None else [stop_on]
        self.asking_now = asking_now(leaf for condition in every for leaf in condition.leaves())

    def __len__(self) -> int:
        return len(self.vertices)

    def _select(self, graph: Graph, chosen: Collection[str] | None, given: set[str]) -> None:
        wanted = None if chosen is None else set(chosen) - given
        if wanted is not None:
            given = given | (graph.upstream(wanted) - wanted)
        for node in graph.nodes:
            if wanted is None or node.name in wanted or node.name in given:
                vertex = Vertex(node, len(self.vertices), node.name in given, self._runner)
                self.by_name[node.name] = vertex.index
                self.vertices.append(vertex)

    def _upstreams(self, vertex: Vertex) -> list[tuple[int, bool]]:
        if vertex.given:
            return []
        node, names = vertex.node, self.by_name
        if not node.conditions_ and not node.after_nodes:
            return [(names[n.name], True) for n in node.data]
        found: dict[int, bool] = {names[n.name]: True for n in node.data}
        for condition in node.conditions_:
            found[names[condition.node.name]] = True
        for other in node.after_nodes:
            if other.name in names:
                found.setdefault(names[other.name], False)
        return list(found.items())

    def _connect(self) -> None:
        for vertex in self.vertices:
            for up, _ in self._upstreams(vertex):
                self.vertices[up].down.append(vertex.index)
            if vertex.given or not vertex.node.conditions_:
                continue
            asked = [(self.by_name[c.node.name], getattr(c, "output", None)) for c in vertex.node.conditions_]
            vertex.conditions = tuple(asked)
            for up, output in asked:
                self.vertices[up].asked_outputs += (output,)

    def _connect_streams(self, vertex: Vertex) -> None:
        taken = {self.by_name[node.name] for node in vertex.node.taken}
        vertex.takes = frozenset(up for up, _ in vertex.feeds if up in taken)
        fed = {up for up, needed in vertex.feeds if needed and self.vertices[up].stream}
        vertex.items = frozenset(fed - taken)
        for up in vertex.takes:
            self.vertices[up].pours = True
        for up in vertex.items:
            self.vertices[up].emits = True
        if vertex.takes and vertex.runner == "inline":
            vertex.runner = "thread"

    def _spread_recurrence(self) -> None:
        todo = [v for v in self.vertices if v.recurring]
        while todo:
            for index in todo.pop().down:
                vertex = self.vertices[index]
                if not vertex.recurring:
                    vertex.recurring = True
                    todo.append(vertex)

    def _index_leaves(self, leaves: tuple[Leaf, ...], vertex: int, rule: int) -> None:
        for number, leaf in enumerate(leaves):
            spot = (vertex, rule, number)
            if leaf.merges:
                self.merging.add(spot)
            if isinstance(leaf, StatusCondition):
                if self.runs(leaf.job):
                    self.by_status.setdefault(self.by_name[leaf.job], []).append((leaf, spot))
                elif "SUCCESS" in leaf.statuses:
                    self.met_before.append(spot)
            elif isinstance(leaf, GaugeCondition):
                if self.runs(leaf.job):
                    self.by_mark.setdefault((self.by_name[leaf.job], leaf.mark), []).append(spot)
            elif isinstance(leaf, TimeCondition):
                self.timers.setdefault(timer_key(leaf), leaf)
                self.by_timer.setdefault(timer_key(leaf), []).append(spot)
            elif isinstance(leaf, FileCondition):
                seen = leaf.inside(self.folder)
                self.by_folder.setdefault(seen.apart.root, []).append((seen, spot))
            elif isinstance(leaf, Heard):
                self._index_heard(leaf, spot)

    def _index_heard(self, leaf: Heard, spot: Spot) -> None:
        if leaf.is_asked:
            self.asked.add(spot)
        if isinstance(leaf, EventCondition) and leaf.type is not None:
            self.hears_internal = self.hears_internal or is_glob(leaf.type) or leaf.type in INTERNAL
        keys = set(leaf.keys_heard)
        if any(map(is_glob, keys)):
            self.patterns.append((leaf, spot))
        else:
            for key in keys:
                self.by_key.setdefault(key, []).append((leaf, spot))

    def marks_of(self, vertex: int) -> tuple[Mark, ...]:
        """Give what conditions ask of the gauges of a job."""
        return tuple(mark for index, mark in self.by_mark if index == vertex)

    def runs(self, job: str) -> bool:
        """Tell whether a job is one of those to run: neither given nor left out."""
        index = self.by_name.get(job)
        return index is not None and not self.vertices[index].given

    @property
    def keys_heard(self) -> list[str] | None:
        """The keys of events from outside that can concern an execution of this plan; None: any."""
        return None if self.patterns or self.by_folder else list(self.by_key)

    @property
    def files(self) -> list[FileCondition]:
        """The conditions on files, with absolute patterns."""
        return [leaf for leaves in self.by_folder.values() for leaf, _ in leaves]

    def starts_from_outside(self, vertex: Vertex) -> bool:
        """Tell whether something outside of the execution can start this vertex by itself."""
        return any(is_external(leaf) for rule in vertex.rules if rule.action is not Action.STOP for leaf in rule.leaves)
