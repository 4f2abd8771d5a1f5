"""Where Flink lies on this machine, and the directories and environments that its programs are run in.

Knows nothing of clusters and jobs. Flink writes into its own installation unless each directory is named.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError

__all__ = [
    "client_environment",
    "described",
    "distribution_of",
    "environment_of",
    "interpreter",
    "whole_path",
    "write_configuration",
]

_OURS = ("AIFLOW_FAMILY", "AIFLOW_EXECUTION", "AIFLOW_JOB", "JVM_ARGS", "LOG4J_PROPERTIES", "LOGBACK_XML")
_ASKING = 60.0  # seconds that an interpreter may take to say where its Flink is
_FIND = "from importlib.util import find_spec; spec = find_spec('pyflink'); print(spec.origin if spec else '')"

_origins: dict[str, str] = {}  # where the Flink of other interpreters is, as they said

_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
appender.file.name = file
appender.file.type = RollingFile
appender.file.fileName = ${sys:log.file}
appender.file.filePattern = ${sys:log.file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.policies.startup.type = OnStartupTriggeringPolicy
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
"""
"""For JobManager, TaskManager and clients alike: files of bounded size, a new one at each start; nothing on their output."""


def interpreter(python: str) -> str:
    """Give the whole path of an interpreter; the processes of Flink run in other folders.

    Raises
    ------
    FlinkError
        If there is none.
    """
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise FlinkError(f"there is no interpreter {python!r} to run Flink's Python functions")
    return os.path.abspath(found)  # links are not followed: in a virtual environment they are the point


def whole_path(python: str, folder: Path) -> str:
    """Give the whole path of an interpreter that a job names; one that is not found stays what it is, and who starts it says so.

    Examples
    --------
    >>> whole_path(".venv/bin/python", Path("/flows")), whole_path("no-such-python", Path("/flows"))
    ('/flows/.venv/bin/python', 'no-such-python')
    """
    python = os.path.expanduser(python)
    return os.path.abspath(folder / python) if os.sep in python else shutil.which(python) or python


_NEWEST = (3, 12)
"""The last Python that apache-flink has packages for: on a later one ``pip install 'aiflow[flink]'`` leaves it out."""


def described(python: str, own: str = sys.executable, version: tuple[int, int] = sys.version_info[:2]) -> str:
    """Name an interpreter without Flink: this one with its version, if that is the reason.

    Examples
    --------
    >>> described("/v/python", "/v/python", (3, 13))
    '/v/python, which is Python 3.13, and Flink has no package for that'
    """
    if python != own or version <= _NEWEST:
        return python
    return f"{python}, which is Python {version[0]}.{version[1]}, and Flink has no package for that"


def distribution_of(python: str, meanwhile: Callable[[str], Any] = str) -> Path:
    """Give the directory of the Flink that an interpreter has: with `bin`, `lib`, `opt` and `conf`.

    Parameters
    ----------
    python
        The interpreter; another than this one is asked, and asked again only if it had none.
    meanwhile
        Gets a line now and then, while that takes; what it raises ends it.

    Raises
    ------
    FlinkError
        If it has none.
    """
    if python == sys.executable:
        spec = find_spec("pyflink")
        origin = (spec.origin or "") if spec else ""
    else:
        origin = _origins.get(python) or _asked(python, meanwhile)
    home = Path(origin).parent
    if not origin or not (home / "bin" / "jobmanager.sh").is_file():
        raise FlinkError(
            f"apache-flink is not installed for {described(python)}: install it (pip install 'aiflow[flink]', Python 3.11 or 3.12), "
            "or name an interpreter that has it: python= of the job, python in [tool.aiflow.flink], or AIFLOW_FLINK_PYTHON"
        )
    _origins[python] = origin
    return home


def _asked(python: str, meanwhile: Callable[[str], Any]) -> str:
    """Have another interpreter say where its Flink is; one that hangs is killed with all that it has started."""
    began, command = time.monotonic(), [python, "-P", "-c", _FIND]
    try:
        asked = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise FlinkError(f"the interpreter of a Flink job, {python}, could not be started: {error.strerror}") from error
    with asked:
        try:
            while (waited := time.monotonic() - began) < _ASKING:
                with suppress(subprocess.TimeoutExpired):
                    origin, _ = asked.communicate(timeout=0.2)
                    break
                meanwhile(f"{python} is asked for its Flink ({waited:.0f} s)")
            else:
                raise FlinkError(
                    f"the interpreter {python} could not be asked for its Flink: it says nothing in {_ASKING:.0f} s"
                )
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(asked.pid, signal.SIGKILL)
            raise
    if asked.returncode:
        raise FlinkError(f"the interpreter {python} could not be asked for its Flink: exit status {asked.returncode}")
    return origin.strip()


def environment_of(
    flink: Path, java_home: Path, directory: Path, python: str, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Give the environment for a program of Flink that has a directory of its own."""
    base = os.environ if base is None else base
    kept = {name: value for name, value in base.items() if name not in _OURS and not name.startswith("FLINK_")}
    places = [str(Path(python).parent), kept.get("PATH", os.defpath)]
    return {
        **kept,
        "PATH": os.pathsep.join(places),  # thread mode and pyflink's scripts call the bare `python`
        "JAVA_HOME": str(java_home),
        "TMPDIR": str(directory / "tmp"),
        "FLINK_HOME": str(flink),
        "FLINK_BIN_DIR": str(flink / "bin"),
        "FLINK_OPT_DIR": str(flink / "opt"),
        "FLINK_PLUGINS_DIR": str(flink / "plugins"),
        "FLINK_LIB_DIR": str(directory / "lib"),
        "FLINK_CONF_DIR": str(directory / "conf"),
        "FLINK_LOG_DIR": str(directory / "log"),
        "FLINK_PID_DIR": str(directory / "tmp"),
        "FLINK_IDENT_STRING": "aiflow",
    }


def write_configuration(flink: Path, directory: Path, config: Mapping[str, Any]) -> None:
    """Make a directory ready for programs of Flink: `conf`, `lib`, `log` and `tmp`.

    Another process may be about to read what it is made ready with; so nothing is taken away that stays the same.
    """
    for name in ("conf", "lib", "log", "tmp"):
        (directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    # The cluster runs Python functions only if the jar for them is in its own class path.
    jars = {jar.name: jar for jar in (*flink.glob("lib/*.jar"), *flink.glob("opt/flink-python*.jar"))}
    for old in (directory / "lib").iterdir():
        if jars.get(old.name) != old.readlink():
            old.unlink(missing_ok=True)
    for name, jar in jars.items():
        with suppress(FileExistsError):
            (directory / "lib" / name).symlink_to(jar)
    shipped = (flink / "conf" / "config.yaml").read_text(encoding="utf-8")
    options = next(line.split(":", 1)[1].strip() for line in shipped.splitlines() if line.strip().startswith("all: "))
    temporary = f"-Djava.io.tmpdir={directory / 'tmp'}"
    more = "" if any(c.isspace() for c in temporary) else f" {temporary}"  # options are split at spaces
    keys = {"env.java.opts.all": options + more, **config}
    lines = [f"{name}: {json.dumps(str(value), ensure_ascii=False)}\n" for name, value in keys.items()]
    _put(directory / "conf" / "config.yaml", "".join(lines))
    for name in ("log4j-console.properties", "log4j-cli.properties", "log4j.properties"):
        _put(directory / "conf" / name, _LOGGING)


def _put(path: Path, text: str) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def client_environment(
    java_home: Path, directory: Path, python: str = sys.executable, config: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Make a directory for a client of Flink, such as the driver, and give the environment to start it in.

    Parameters
    ----------
    java_home
        The Java for its own JVM.
    directory
        A directory of its own: configuration, logs and temporary files lie there and nowhere else.
    python
        The interpreter of the client, which has the Flink that is used.
    config
        Keys of Flink's configuration that all its jobs have.
    """
    flink = distribution_of(python)
    write_configuration(flink, directory, config or {})
    environment = environment_of(flink, java_home, directory, python)
    return {**environment, "PYFLINK_CLIENT_EXECUTABLE": python, "PYFLINK_PYTHON": python}
