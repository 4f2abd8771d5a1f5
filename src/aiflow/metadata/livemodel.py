"""The model that is deployed, whichever version that is now: what predicts in the long run holds one of these.

Knows nothing of how it is found out what is deployed, and of loading (`following`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiflow.graph.job import seconds
from aiflow.graph.model import ModelVersion
from aiflow.metadata.following import Follower
from aiflow.runners.context import current_or_none, is_flink_worker

if TYPE_CHECKING:
    from aiflow._project import Project

__all__ = ["LiveModel", "open_live"]


class LiveModel:
    """The deployed version of a model, always; got as ``project.models.live("knn")``.

    Every method and attribute of the deployed object can be used as if it were one of this; what begins with an underscore
    cannot. A call has one version from its beginning to its end, and any number of threads may call at once. After a
    deployment through this process the next call is answered by the new version; after one in another process that takes
    100 ms at most. While an object of more than 1 MB is loaded, the old one answers. A context manager.

    An object that cannot be loaded leaves the old one in place, and so does a version that is deleted or deprecated while
    no other is deployed: `problem` says so, and the log. What could not be loaded is tried again now and then.

    It can be handed to a job in another process, which then has one of its own, and to functions that Flink runs: on this
    machine they hear of a deployment within 100 ms, too, on another within about 1 s.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     words = project.models.register("words")
    ...     first, second = words.log(["yes"], stage="DEPLOYED"), words.log(["no", "no"])
    ...     with project.models.live("words") as live:
    ...         print(live.version, live.count("no"))
    ...         deployed = words.deploy(2)
    ...         print(live.version, live.count("no"))
    words:1 0
    words:2 2
    """

    _follower: Follower

    def __init__(self, home: str, name: str, project: Project | None = None) -> None:
        if project is None and is_flink_worker():
            from aiflow.metadata.afar import Afar

            self._follower = Afar(home, name, _Forgetting(self))
        else:
            self._follower = Follower(home, name, _Forgetting(self), project)

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            raise AttributeError(f"a live model passes no private names on, and {name!r} is one; see pinned()")
        follower = self._follower
        answering, version = follower.current()
        try:
            found = getattr(answering, name)
        except AttributeError as error:
            error.add_note(f"It was asked of {version}, which is deployed.")
            raise
        if getattr(found, "__self__", None) is not answering or not callable(found):
            return found
        method = self.__dict__[name] = _method(follower, name, found.__doc__)  # so that the next time is quicker
        if type(follower.now[0]) is not type(answering):
            self.__dict__.pop(name, None)
        return method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the deployed object, if that is a function or the like."""
        return self._follower.current()[0](*args, **kwargs)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self._follower.current()[0]) if name[:1] != "_")})

    @property
    def version(self) -> ModelVersion:
        """The version that answers now; raises `NotFound` if none was deployed yet."""
        return self.pinned()[1]

    def pinned(self) -> tuple[Any, ModelVersion]:
        """Give the object that answers now and its version, for several calls that must be of one version.

        Raises
        ------
        NotFound
            If none was deployed yet.
        StoreError
            If the first that was cannot be loaded, or this is closed.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     made = project.models.register("words").log(["yes", "no"], stage="DEPLOYED")
        ...     with project.models.live("words") as live:
        ...         model, version = live.pinned()
        >>> print(version, model.index("no"), len(model))
        words:1 1 2
        """
        answering, version = self._follower.current()
        if version is None:
            raise answering.refusal()
        return answering, version

    @property
    def problem(self) -> str | None:
        """Why what answers is not what is deployed, in words; None if all is well."""
        follower = self._follower
        follower.current()
        if follower.is_deaf and not follower.is_closed:
            return f"the project is closed, and no deployment of {follower.name!r} is heard of any more"
        return None if follower.problem is None else str(follower.problem)

    def _tell_of_versions(self, call: Callable[[ModelVersion], None]) -> None:
        """Have something called with the version that answers now, and with each that will."""
        self._follower.on_version = call
        call(self.version)

    def close(self) -> None:
        """Let go of the object, and hear of deployments no more; twice is fine."""
        self._follower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        follower = self._follower
        return f"<live model {follower.now[1] or follower.name}{' (closed)' if follower.is_closed else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return LiveModel, (self._follower.home, self._follower.name)


def _method(follower: Follower, name: str, doc: str | None) -> Callable[..., Any]:
    """Give a method of whatever object answers when it is called; it does not keep the live model alive."""

    def method(*args: Any, **kwargs: Any) -> Any:
        if follower.told != follower.seen:
            follower.hurry()
        return getattr(follower.now[0], name)(*args, **kwargs)

    method.__name__, method.__qualname__, method.__doc__ = name, f"LiveModel.{name}", doc
    return method


class _Forgetting:
    """Has a live model forget what methods there are, if it is still there."""

    def __init__(self, live: LiveModel) -> None:
        self._live = weakref.ref(live)

    def __call__(self) -> None:
        live = self._live()
        if live is not None:
            for name in [name for name in live.__dict__ if name[:1] != "_"]:
                live.__dict__.pop(name, None)


def open_live(project: Project, name: str, wait: float | timedelta | None) -> LiveModel:
    """Open the live model of a registered name; see `Models.live`."""
    patience = 0.0 if wait is None else seconds(wait, "wait")
    live = LiveModel(str(project.home), name, project)
    follower = live._follower
    try:
        follower.catch_up()
        if patience:
            _wait(project, follower.first, patience)
        if not follower.first.is_set():
            if follower.problem is not None:
                raise follower.problem
            if patience:
                raise TimeoutError(f"no version of model {name!r} was deployed within {patience:g} s")
    except BaseException:
        live.close()
        raise
    return live


def _wait(project: Project, first: threading.Event, patience: float) -> None:
    """Wait until a first version answers; a job does not wait any longer when it is asked to stop."""
    shared, job = project._shared, current_or_none()
    deadline = shared.moment() + patience
    if job is None:
        shared.drive_until(first, deadline)
        return
    while not first.is_set() and (left := deadline - shared.moment()) > 0:
        if job.rest is not None:
            job.rest(lambda: first.is_set() or job.stopping, left)
        else:
            job.wait_stop(min(left, 0.05))
        if job.stopping:
            job.refuse_to_go_on()
