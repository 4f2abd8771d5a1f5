"""Jobs that run on Flink: functions, SQL, programs in a jar; and jobs of others, which are watched.

Knows nothing of clusters, and needs no PyFlink.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import Any, overload

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.building import Body, Node, Output, current_body
from aiflow.graph.flink_options import FLINK, FLINK_NAMES, LOCAL, check_flink_option
from aiflow.graph.flink_sql import FlinkSql, check_udfs, hide_passwords, split_statements
from aiflow.graph.job import Job, JobOptions, check_options, job, seconds
from aiflow.graph.params import Secret

__all__ = [
    "FlinkJar",
    "FlinkObserved",
    "FlinkSql",
    "check_flink",
    "describe_flink",
    "flink_jar",
    "flink_job",
    "flink_kind",
    "flink_sql",
    "observe_flink",
]


@dataclass(frozen=True, slots=True)
class FlinkJar:
    """A program in a jar; stands where another job has its function.

    Attributes
    ----------
    path
        The jar; a relative path begins in the folder of the workflow's file.
    entry_class
        The class whose `main` is called; None for the one that the jar's manifest names.
    args
        What `main` gets.
    """

    path: str
    entry_class: str | None = None
    args: tuple[str | Secret, ...] = ()

    @property
    def __name__(self) -> str:  # what a `Job` is called that has no name
        last = PurePath(self.path).stem if self.entry_class is None else self.entry_class.rpartition(".")[2]
        return re.sub(r"[^\w-]+", "_", last).strip("_") or "flink_jar"

    def __call__(self) -> Any:
        """Refuse: only Flink can run it."""
        raise GraphError(
            f"{self.path} is a program for Flink: the runner of its job must be 'flink', which is the default"
        )


@dataclass(frozen=True, slots=True)
class FlinkObserved:
    """A job of somebody else on a cluster; stands where another job has its function.

    Attributes
    ----------
    job_id
        Which job; None if another job of the workflow gives it: it is the only argument then.
    url
        The cluster.
    interval
        Seconds between two looks.
    """

    job_id: str | None
    url: str
    interval: float = 1.0

    @property
    def __name__(self) -> str:  # what a `Job` is called that has no name
        return "observe_flink"

    def __call__(self, job_id: str = "") -> Any:
        """Refuse: only its runner can look at it."""
        raise GraphError(f"{self.job_id or job_id} runs on Flink, and is watched by the runner 'flink' only")


@overload
def flink_job(function: Callable[..., Any], /, **options: Any) -> Job: ...
@overload
def flink_job(function: None = None, /, **options: Any) -> Callable[[Callable[..., Any]], Job]: ...
def flink_job(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a job that runs on Flink; the same as ``@af.job(runner="flink")``.

    The function builds what runs there: it gets a `TableEnvironment`, `StreamTableEnvironment` or
    `StreamExecutionEnvironment` of PyFlink in the parameter that is annotated so (or is named `t_env` or `env` and has no
    annotation but `Any`). A call in a workflow's body leaves that parameter out. Outside a body it is the plain function, and takes
    it from the caller.

    Parameters
    ----------
    function
        The function.
    **options
        Those of `af.job`, and of Flink: `target`, `python`, `config`, `parallelism`, `savepoint_on_stop`, `fresh`,
        `lost_after` (seconds). ``stream=True`` for a job that never ends by itself.

    Raises
    ------
    ParameterError
        If an option is unknown or does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.flink_job(parallelism=2)
    ... def clean(t_env: "TableEnvironment", path: str):
    ...     return t_env.sql_query(f"SELECT * FROM `{path}` WHERE x IS NOT NULL")
    >>> @af.workflow
    ... def cleaning():
    ...     clean("raw")
    >>> cleaning.graph.nodes
    [clean]
    """
    return job(function, **_on_flink(options, "@af.flink_job"))


def flink_sql(
    statements: str | Sequence[str], udfs: Mapping[str, Any] | None = None, *, name: str | None = None, **options: Any
) -> Node:
    """Add a node that carries out SQL statements on Flink, one after the other.

    Parameters
    ----------
    statements
        A text, taken apart at its semicolons, or a list of such texts.
    udfs
        The functions in Python that the statements may call, by name: plain ones whose annotations say what they return, or
        PyFlink's own.
    name
        The name of the node.
    **options
        Those of `af.flink_job`.

    Raises
    ------
    GraphError
        Outside a workflow body, and if something is a node.
    ParameterError
        If there is no statement, or an option does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> def shout(text: str) -> str:
    ...     return text.upper()
    >>> @af.workflow
    ... def shouting():
    ...     af.flink_sql(
    ...         '''CREATE TABLE words (word STRING) WITH ('connector' = 'filesystem', 'path' = 'words.csv', 'format' = 'csv');
    ...            CREATE TABLE out (word STRING) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
    ...            INSERT INTO out SELECT shout(word) FROM words''',
    ...         udfs={"shout": shout}, name="shout_all",
    ...     )
    >>> shouting.graph.nodes
    [shout_all]
    """
    body = _body("af.flink_sql", "call t_env.execute_sql(…)")
    return _add(body, FlinkSql(split_statements(statements), check_udfs(udfs)), name, options, "af.flink_sql")


def flink_jar(
    path: str | PurePath,
    entry_class: str | None = None,
    args: Sequence[str | int | float | PurePath | Secret] = (),
    *,
    name: str | None = None,
    **options: Any,
) -> Node:
    """Add a node that runs a program of a jar on Flink.

    Parameters
    ----------
    path
        The jar; a relative path begins in the folder of the workflow's file.
    entry_class
        The class whose `main` is called; None for the one that the jar's manifest names.
    args
        What `main` gets.
    name
        The name of the node; that of the class or the jar otherwise.
    **options
        Those of `af.flink_job`.

    Raises
    ------
    GraphError
        Outside a workflow body, and if something is a node.
    ParameterError
        If the path is no jar's, or an argument or option does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.workflow
    ... def counting():
    ...     af.flink_jar("app.jar", entry_class="com.example.WordCount", args=["--input", "words.txt"])
    >>> counting.graph.nodes
    [WordCount]
    """
    body = _body("af.flink_jar", "use Flink's own flink run")
    for part in (path, entry_class, *([] if isinstance(args, str) else args)):
        _refuse_node(part, "af.flink_jar", "have a job write it to a file that the program reads")
    if not isinstance(path, str | PurePath) or not str(path).endswith(".jar"):
        raise ParameterError(f"af.flink_jar takes the path of a jar, such as 'app.jar', not {path!r}")
    if entry_class is not None and not isinstance(entry_class, str):
        raise ParameterError(f"entry_class of af.flink_jar is the name of a class, not {entry_class!r}")
    if isinstance(args, str) or not all(isinstance(a, str | int | float | PurePath | Secret) for a in args):
        raise ParameterError(f"args of af.flink_jar is a list of texts, numbers and paths, not {args!r}")
    given = tuple(a if isinstance(a, Secret) else str(a) for a in args)
    return _add(body, FlinkJar(str(path), entry_class, given), name, options, "af.flink_jar")


def observe_flink(
    job_id: str | Node, url: str, *, name: str | None = None, interval: float | timedelta = 1.0, **options: Any
) -> Node:
    """Add a node that watches a job on Flink which something else has started; its label says how that is doing.

    It ends as the job does. Stopping it ends only the watching.

    Parameters
    ----------
    job_id
        The id that Flink gave to the job; or a node whose value it is.
    url
        The cluster, such as ``"http://host:8081"``.
    name
        The name of the node.
    interval
        Seconds between two looks.
    **options
        Those of `af.job`, and `lost_after`.

    Raises
    ------
    GraphError
        Outside a workflow body.
    ParameterError
        If the id or the address is none, or an option does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.workflow
    ... def watching():
    ...     af.observe_flink("a75e3cbdd2fee1a5a5d2ee5d5a0f9b36", "http://127.0.0.1:8081", name="theirs")
    >>> watching.graph.nodes
    [theirs]
    """
    body = _body("af.observe_flink", "ask the cluster")
    if isinstance(job_id, str) and not re.fullmatch(r"[0-9a-f]{32}", job_id):
        raise ParameterError(
            f"job_id of af.observe_flink is 32 hexadecimal digits, as Flink gives them, not {job_id!r}"
        )
    if not isinstance(job_id, str | Node | Output):
        raise ParameterError(f"job_id of af.observe_flink is a text, or a node whose value it is, not {job_id!r}")
    useless = [key for key in options if key in FLINK_NAMES and key != "lost_after"]
    address = check_flink_option("target", url, "url of af.observe_flink")
    if useless or address == LOCAL:
        what = repr(useless[0]) if useless else "the url 'local'"
        raise ParameterError(
            f"af.observe_flink watches what somebody else has started on a cluster at an address; {what} says nothing there"
        )
    known = job_id if isinstance(job_id, str) else None
    observed = FlinkObserved(known, address, seconds(interval, "interval of af.observe_flink"))
    given = {**options, "target": address}
    return _add(body, observed, name, given, "af.observe_flink", () if known is not None else (job_id,))


# --- what all of them do ----------------------------------------------------------------------------------------------


def _body(maker: str, outside: str) -> Body:
    body = current_body()
    if body is None:
        raise GraphError(f"{maker}(…) makes a node and works inside a workflow body only; outside, {outside}")
    return body


def _on_flink(options: Mapping[str, Any], maker: str) -> dict[str, Any]:
    if options.get("runner", FLINK) != FLINK:
        raise ParameterError(f"the runner of {maker} is always 'flink', not {options['runner']!r}")
    return {**options, "runner": FLINK}


def _add(
    body: Body, program: Any, name: str | None, options: Mapping[str, Any], maker: str, args: tuple[Any, ...] = ()
) -> Node:
    given = _on_flink(options, maker) | ({"name": name} if name is not None else {})
    return body.add(Job(program, JobOptions(**check_options(given, name or program.__name__))), args, {})


def _refuse_node(value: Any, maker: str, instead: str) -> None:
    if isinstance(value, Node | Output):
        raise GraphError(f"{value!r} has no value while the graph is built, so it can be no part of {maker}; {instead}")


def check_flink(node: Node, mapped: bool) -> None:
    """Refuse what cannot be a job on Flink.

    Raises
    ------
    GraphError
        If it is mapped, if its function is `async` or yields, or if an option does not go with a stream.
    """
    job, options, on_flink = node.job, node.options, f"{node!r} runs on Flink"
    function = job.function
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise GraphError(
            f"{on_flink}, and its function yields; there the function builds what flows and returns: say stream=True, and publish "
            "in it what jobs outside are to hear of (af.flink.publish)"
        )
    if job.is_async:
        raise GraphError(
            f"{on_flink}, and its function is an async def; write def: what it builds runs on Flink anyway"
        )
    if mapped:
        raise GraphError(
            f"{on_flink}, and cannot be mapped: give it the whole list, and let Flink divide the work (parallelism=…)"
        )
    if job.stream_parameters:
        raise GraphError(
            f"{on_flink}, and its parameter {min(job.stream_parameters)!r} is an af.Stream; items of aiflow's streams do not flow into "
            "Flink: leave the annotation out, and it is started once for each item, or read a source that both know"
        )
    if not job.is_stream:
        return
    if job.role is not None and job.role.gives is not None:
        raise GraphError(
            f"{on_flink} as a stream, which has no value; so it cannot make a {job.role.gives} by {job.role}"
        )
    if options.cache:
        raise GraphError(f"{on_flink} as a stream, which has no value; it cannot have cache={options.cache!r}")
    if options.outputs != 1:
        raise GraphError(f"{on_flink} as a stream, which has no value; it cannot have outputs={options.outputs!r}")


def describe_flink(node: Node) -> dict[str, Any]:
    """Give what of a job on Flink decides, as JSON data."""
    out: dict[str, Any] = {}
    program = node.job.function
    if isinstance(program, FlinkSql):
        out["statements"] = [hide_passwords(statement) for statement in program.statements]
        if program.udfs:
            out["udfs"] = sorted(program.udfs)
    elif isinstance(program, FlinkJar):
        out["jar"] = {"path": program.path, "args": [_shown(a) for a in program.args]}
        if program.entry_class is not None:
            out["jar"]["entry_class"] = program.entry_class
    elif isinstance(program, FlinkObserved) and program.job_id is not None:
        out["observes"] = program.job_id
    assert node.options.flink is not None
    return out | ({"flink": said} if (said := node.options.flink.said) else {})


def flink_kind(node: Node) -> str:
    """Say in a word or two what a job on Flink is; '' of any other."""
    if node.options.flink is None:
        return ""
    program = type(node.job.function)
    return {FlinkSql: "flink sql", FlinkJar: "flink jar", FlinkObserved: "watches flink"}.get(program, "flink")


def _shown(arg: str | Secret) -> Any:
    return {"secret": arg.reference} if isinstance(arg, Secret) else arg
