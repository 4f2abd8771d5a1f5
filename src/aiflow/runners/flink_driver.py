"""The Flink driver: a child process that holds PyFlink and its JVM, and runs the functions of Flink jobs, each on a thread.

Knows nothing of clusters and of how a job goes on once it was submitted; its death ends no job. PyFlink is imported here only.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

from aiflow.errors import FlinkError, RunnerError, Stopped
from aiflow.graph import environments
from aiflow.graph.execution import RunKey
from aiflow.graph.flink_sql import FlinkSql, headline, is_of_pyflink, sql_type
from aiflow.graph.job import JobOptions
from aiflow.runners import output
from aiflow.runners.base import Call, Ended, Failure
from aiflow.runners.calling import judge, perform
from aiflow.runners.child import die_with, report
from aiflow.runners.context import JobContext
from aiflow.runners.flink_causes import messages_of
from aiflow.runners.flink_fetching import fetched, has_rows
from aiflow.runners.flink_jars import checked_jars
from aiflow.runners.flink_terms import JOB_ID, RESTORE, id_of, is_query, restoring
from aiflow.runners.performed import Performed
from aiflow.runners.port import SocketPort
from aiflow.runners.wire import Frame, pack, read_frame
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored, unpickle_call

__all__ = ["main"]

_in_stream: ContextVar[bool] = ContextVar("aiflow_flink_stream", default=False)


def main(descriptor: int, parent: int) -> None:
    """Serve the socket `descriptor`, as the child of process `parent`, until it closes."""
    die_with(parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts a run means its owner, who will say what to do
    os.set_inheritable(descriptor, False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    output.capture()
    Driver(socket.socket(fileno=descriptor)).serve()


class Driver:
    """The main thread listens; each function runs on a thread of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.port = SocketPort(self.send)
        self._sending = threading.Lock()
        self._contexts: dict[tuple[Any, ...], JobContext] = {}

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send a frame to who started this process."""
        try:
            with self._sending:
                for piece in pack(head, body):
                    self.sock.sendall(piece)
        except OSError as error:
            raise Stopped("the process that runs this job is gone") from error

    def serve(self) -> None:
        """Take frames until the socket closes; then end this process, and not what it has submitted."""
        problem = None if importlib.util.find_spec("pyflink") else "it has no apache-flink"
        self.send({"op": "ready", "python": list(sys.version_info[:2]), "problem": problem})
        _import_pyflink()
        threading.Thread(target=_warm_up, name="aiflow-warm-up", daemon=True).start()
        while (frame := read_frame(self.sock)) is not None:
            op = frame.head["op"]
            if op == "submit":
                self._submit(frame)
            elif op == "stop":
                context = self._contexts.get(tuple(frame.head["key"]))
                if context is not None:
                    context.stop_event.set()
            else:
                self.port.answer(frame.head, frame.body)
        os._exit(0)  # threads may hang in calls of the JVM, which ends when its standard input does

    def _submit(self, frame: Frame) -> None:
        head = frame.head
        self.port.opener, self.port.home, self.port.namespace = head["opener"], head["home"], head["namespace"]
        context = JobContext(
            RunKey(*head["key"]), self.port, namespace=head["namespace"], workflow=head["workflow"], context=head["context"],
            event_offsets=tuple(head["event_offsets"]), cause=head["cause"], scratch=head["scratch"], folder=head["folder"],
        )  # fmt: skip
        context.span = head["span"]
        self._contexts[context.key] = context
        name = f"aiflow-flink-{context.job}"
        threading.Thread(target=self._attempt, args=(frame, context), name=name, daemon=True).start()

    def _attempt(self, frame: Frame, context: JobContext) -> None:
        """Run the function of one job, and tell how that ended."""
        head, options, stored = frame.head, JobOptions(), None
        output.attach_log(context, lambda: Path(head["log"]))
        try:
            function, args, kwargs, retry_on, params, serializers = unpickle_call(frame.body)
            context._params = params
            outputs = tuple(head["outputs"]) if isinstance(head["outputs"], list) else head["outputs"]
            options = JobOptions(outputs=outputs, retry_on=retry_on)
            context.codec = codec = Codec(Blobs(head["home"] + "/blobs"), serializers=serializers)
            call = Call(_Submission(self.port, context, head).around(function), args, kwargs)
            ended = perform(lambda: call, context, options, head["asked"])
            if ended.outcome == "SUCCESS":
                ended, stored = _encoded(codec, ended, context)
        except BaseException as error:  # what cannot be unpickled
            ended = judge(error, options, context)
        finally:
            output.close_log(context)
            self._contexts.pop(context.key, None)
        context.is_over = True
        with suppress(Stopped):
            told, body = report(ended, stored)
            self.send({**told, "key": context.key}, body)


def _encoded(codec: Codec, ended: Ended, context: JobContext) -> tuple[Ended, Stored | None]:
    try:
        return ended, codec.encode(ended.value, f"the value of job {context.job!r}")
    except RunnerError as error:
        reason = str(error)[:500]
        return Ended("FAILED", retryable=False, reason=reason, error=Failure("RunnerError", str(error))), None


def _import_pyflink() -> None:
    """Import what the functions need, while there is one thread: its modules import each other in circles.

    Two threads that begin at different places of a circle meet in it, and find half a module or a deadlock.
    """
    with suppress(Exception):  # the first job that needs it will say what is wrong
        import pyflink.datastream
        import pyflink.java_gateway
        import pyflink.table.udf  # noqa: F401


def _warm_up() -> None:
    """Start the JVM, which takes three seconds, while the first function is on its way."""
    with suppress(Exception):  # the first job that needs it will say what is wrong
        from pyflink.java_gateway import get_gateway

        logging.getLogger("py4j").setLevel(logging.WARNING)
        get_gateway()


class _Submission:
    """What the environments of one attempt submit: each Flink job has an id that is known before, and is told at once.

    Parameters
    ----------
    port
        Where jobs are told.
    context
        The attempt.
    head
        What was said of it: `config`, `rounds`, `stream`, `savepoints` and `room`.
    """

    def __init__(self, port: SocketPort, context: JobContext, head: Mapping[str, Any]) -> None:
        self.port, self.context = port, context
        self.config, self.rounds = head["config"], head["rounds"]
        self.stream, self.savepoints = head["stream"], tuple(head["savepoints"])
        self.room = head["room"]
        self._environment: Any = None
        self._table: Any = None
        self._listener: Any = None
        self._count = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function that gets its environments, and what it built is executed; a role stays around it."""
        if isinstance(function, Performed):
            function.function = self._around(function.function)
            return function
        return self._around(function)

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            from py4j.protocol import Py4JJavaError
            from pyflink.util.exceptions import JavaException

            token = _in_stream.set(self.stream)
            try:
                if isinstance(function, FlinkSql):
                    return self._complete(self._execute(function))
                wanted = environments.environments_of(function, self.stream)
                given = {name: self._give(kind) for name, kind in wanted.items()}
                return self._complete(environments.call(function, given, args, kwargs))
            except (Py4JJavaError, JavaException) as error:  # its text is a hundred lines of Java
                raise FlinkError(_message_of(error)).with_traceback(_until_flink(error.__traceback__)) from None
            except Exception as error:
                if not _is_of_pickling(error):
                    raise
                raise FlinkError(
                    f"a function cannot be sent to Flink's workers ({type(error).__name__}: {error}); make what it uses from outside "
                    "(globals, closure) inside it, or in open() of a class of functions"
                ) from error
            finally:
                _in_stream.reset(token)

        run.__name__ = getattr(function, "__name__", repr(function))
        return run

    # --- environments -----------------------------------------------------------------------------------------------

    def _give(self, kind: str) -> Any:
        if kind == "stream":
            return self.environment
        return self.table

    @property
    def environment(self) -> Any:
        """The `StreamExecutionEnvironment`, made when it is first asked for; all that is submitted goes through it."""
        if self._environment is None:
            from pyflink.common import Configuration
            from pyflink.datastream import StreamExecutionEnvironment
            from pyflink.java_gateway import get_gateway
            from pyflink.table import TableResult

            _leave_streams_alone(TableResult)
            config = Configuration()
            for key, value in self.config.items():
                config.set_string(key, value)
            java = get_gateway().jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment(
                config._j_configuration  # the constructor, for `get_execution_environment` starts a cluster in the JVM
            )
            self._environment = StreamExecutionEnvironment(java)
            self._check_added_jars(self._environment)
            self._listener = _Listener(self)  # kept: Java knows it by a weak reference
            java.registerJobListener(self._listener)
            self._prepare(0)
        return self._environment

    def _check_added_jars(self, environment: Any) -> None:
        """Have the function hear at once of a jar that is not there, and name jars as `config` does."""
        add, folder = environment.add_jars, Path(self.context.folder)
        environment.add_jars = lambda *jars: add(*checked_jars(";".join(map(str, jars)), folder))

    @property
    def table(self) -> Any:
        """The `StreamTableEnvironment` over it, in the mode of the job."""
        if self._table is None:
            from pyflink.table import EnvironmentSettings, StreamTableEnvironment

            mode = EnvironmentSettings.in_streaming_mode if self.stream else EnvironmentSettings.in_batch_mode
            self._table = StreamTableEnvironment.create(self.environment, mode())
        return self._table

    def _prepare(self, index: int) -> None:
        """Say which id the next Flink job will have, and which savepoint it starts from."""
        from pyflink.util.java_utils import get_field_value

        config = get_field_value(self._environment._j_stream_execution_environment, "configuration")
        config.setString(JOB_ID, id_of(self.context.key, self.rounds, index))
        savepoint = restoring(self.savepoints, index) or self.config.get(RESTORE)
        if savepoint:
            config.setString(RESTORE, savepoint)
        else:  # that of the job before is not its own, and an empty one is refused
            config.removeKey(RESTORE)

    def submitted(self, job_id: str) -> None:
        """Have it recorded that there is a new Flink job, before anything is done with it."""
        index, self._count = self._count, self._count + 1
        self.port.ask("submitted", key=self.context.key, job=job_id, index=index).wait()
        self._prepare(self._count)

    # --- what the function has built --------------------------------------------------------------------------------

    def _execute(self, sql: FlinkSql) -> Any:
        """Do the statements one after the other; a query at the end gives the table that is the value."""
        from py4j.protocol import Py4JJavaError
        from pyflink.table.udf import udf
        from pyflink.util.exceptions import JavaException

        for name, function in sql.udfs.items():
            if not is_of_pyflink(function):
                function = udf(function, result_type=sql_type(function))
            self.table.create_temporary_system_function(name, function)
        found = None
        for number, statement in enumerate(sql.statements, 1):
            try:
                found = self._carry_out(statement)
            except (Py4JJavaError, JavaException) as error:
                where = f"statement {number} of {len(sql.statements)}, {headline(statement)}"
                raise FlinkError(f"{_message_of(error)} (in {where})") from None
        return found

    def _carry_out(self, statement: str) -> Any:
        if is_query(statement):
            return self.table.sql_query(statement)
        result = self.table.execute_sql(statement)
        if result.get_job_client() is not None:
            result.wait()  # the next one may read what it writes; that of a stream returns at once
        return None

    def _complete(self, value: Any) -> Any:
        """Execute what was built and not executed, and give the value that the job has."""
        from pyflink.common import JobExecutionResult
        from pyflink.common.job_client import JobClient
        from pyflink.datastream import DataStream
        from pyflink.datastream.data_stream import DataStreamSink
        from pyflink.table import StatementSet, Table, TableResult
        from pyflink.table.table_pipeline import TablePipeline  # type: ignore[import-not-found,unused-ignore]

        def given(part: Any) -> Any:
            if isinstance(part, StatementSet | TablePipeline):
                part = part.execute()
            if isinstance(part, DataStream):
                raise FlinkError(
                    f"{self.context.job} returned a DataStream, which is no value: end it in a sink (sink_to(…), print()), or return "
                    "what is in it, list(stream.execute_and_collect())"
                )
            if isinstance(part, Table) or (isinstance(part, TableResult) and has_rows(part)):
                if self.stream:
                    raise FlinkError(
                        f"{self.context.job} is a stream and returned a Table: a stream has no end and so no value; insert "
                        "the table into a sink (table.execute_insert(…)), or leave stream=True out"
                    )
                return fetched(part, self.room)
            is_over = isinstance(part, TableResult | JobClient | JobExecutionResult | DataStreamSink)
            return None if is_over else part

        if type(value) in (tuple, list):  # several outputs
            value = type(value)(map(given, value))
        elif type(value) is dict:
            value = {name: given(part) for name, part in value.items()}
        else:
            value = given(value)
        if self._environment is not None and _is_pending(self._environment):
            self._environment.execute()
        return value


class _Listener:
    """Told by Java of each Flink job that was submitted, on the thread that submits it."""

    def __init__(self, submission: _Submission) -> None:
        self._submission = submission

    def onJobSubmitted(self, client: Any, error: Any) -> None:  # Java's name
        """Learn of a Flink job, or that there is none."""
        if client is None:
            return
        try:
            self._submission.submitted(client.getJobID().toString())
        except BaseException:  # the attempt is over, and nobody would ever end it
            client.cancel()
            self._submission.context.stop_event.set()

    def onJobExecuted(self, result: Any, error: Any) -> None:
        """Learn of its end, which is watched elsewhere."""

    class Java:
        """Which interface Java sees."""

        implements = ("org.apache.flink.core.execution.JobListener",)


def _until_flink(trace: TracebackType | None) -> TracebackType | None:
    """Leave the frames of PyFlink and of its bridge to Java out of a traceback: what follows is Java."""
    here = trace
    while here is not None:
        after = here.tb_next
        if after is not None and after.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("pyflink", "py4j"):
            here.tb_next = None
        here = here.tb_next
    return trace


def _message_of(error: Any) -> str:
    return messages_of([str(error).partition("\n: ")[2] or str(error)])


def _is_of_pickling(error: BaseException) -> bool:
    """Tell whether it was raised while a function was made into bytes for the workers."""
    trace, name = error.__traceback__, ""
    while trace is not None:
        name, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return "pickle" in name.partition(".")[0]


def _leave_streams_alone(kind: Any) -> None:
    """Let `execute_sql(…).wait()`, which scripts end with, not hold up the function of a stream job for ever."""
    wait = kind.wait
    if getattr(wait, "_aiflow", False):
        return

    def wait_for_batch(self: Any, timeout_ms: int | None = None) -> None:
        if not _in_stream.get():
            wait(self, timeout_ms)

    wait_for_batch._aiflow = True  # type: ignore[attr-defined]
    kind.wait = wait_for_batch


def _is_pending(environment: Any) -> bool:
    from pyflink.util.java_utils import get_field_value

    return not get_field_value(environment._j_stream_execution_environment, "transformations").isEmpty()
