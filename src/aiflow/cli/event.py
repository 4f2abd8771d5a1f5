"""The commands `event …`: publish, follow and count events.

Knows nothing of executions.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import rich_click as click

from aiflow.cli.everywhere import Asked, Command, Group, needs_home, open_home
from aiflow.cli.formats import Fields, Lines, json_line, write
from aiflow.cli.records import event_record
from aiflow.cli.run import read_value
from aiflow.cli.streams import is_pipe_closed

if TYPE_CHECKING:
    from aiflow import Project

__all__ = ["event"]

_PAUSE = 0.03  # seconds between two looks: another process's events are to be seen within 100 ms

_EXAMPLES = """
event publish go                     # an event without a value
event publish sensor.kitchen 21.5    # JSON if it parses, else text
event tail --key 'sensor.*'          # until interrupted
event count --key 'sensor.*'
"""

_PUBLISH_EXAMPLES = """
event publish go
event publish model.good '{"accuracy": 0.95}' --sender me
event publish day.done --dedupe-key 2026-11-23
"""

_LITERAL = "aiflow.literal"
_keys = click.option(
    "--key", "keys", multiple=True, metavar="GLOB", help="With this key; may be given again for others."
)


@click.group(cls=Group, examples=_EXAMPLES)
def event() -> None:
    """Publish, follow and count events."""


class _Publish(Command):
    """Remembers whether there was a ``--``: what comes after it is no option, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_LITERAL] = "--" in args
        return super().parse_args(ctx, args)


@event.command(
    cls=_Publish,
    examples=_PUBLISH_EXAMPLES,
    context_settings={"ignore_unknown_options": True},  # -5 is a value
)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--type", "kind", metavar="TEXT", help="Its type; UNDEFINED by default.")
@click.option(
    "--context",
    "about",
    metavar="TEXT",
    help="Which executions it is for: a context, or the id of one; by default all.",
)
@click.option("--sender", metavar="TEXT", help="Who says so.")
@click.option("--dedupe-key", metavar="TEXT", help="Publishing with the same key again gives the first event.")
@click.pass_context
def publish(
    context: click.Context,
    key: str,
    value: str | None,
    kind: str | None,
    about: str | None,
    sender: str | None,
    dedupe_key: str | None,
) -> None:
    """Publish an event; when this returns, it is durable."""
    asked: Asked = context.obj
    for word in (key, value):
        if (
            word is not None
            and word.startswith("-")
            and not context.meta[_LITERAL]
            and isinstance(read_value(word), str)
        ):
            raise click.NoSuchOption(word, ctx=context)
    data = None if value is None else read_value(value)
    with open_home(asked) as project:
        made = project.publish(
            key, data, type=kind, namespace=asked.namespace, sender=sender, context=about, dedupe_key=dedupe_key
        )
    record = event_record(made)
    write(asked.output, record, Fields({name: value for name, value in record.items() if value is not None}))


def _since(text: str | None) -> str | int | None:
    if text is None or text in ("start", "now"):
        return text
    if text.isdecimal():
        return int(text)
    raise click.BadParameter(f"{text!r} is neither 'start', nor 'now', nor an offset", param_hint="--since")


@event.command(examples="event tail\nevent tail --key 'model.*' --since start --limit 3")
@_keys
@click.option("--since", metavar="start|now|OFFSET", help="Where to begin; an offset is exclusive. By default now.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@click.pass_obj
def tail(asked: Asked, keys: tuple[str, ...], since: str | None, limit: int | None) -> None:
    """Follow events until interrupted; each is one line of JSON, whatever the output form."""
    with needs_home(asked) as project:
        _follow(project, asked.namespace, keys, project.events.position(_since(since), "now"), limit)


def _follow(project: Project, namespace: str | None, keys: tuple[str, ...], position: int, limit: int | None) -> None:
    from aiflow.store import log

    wanted, left, pause = log.EventFilter(keys or None, None, namespace), limit, threading.Event()
    while not is_pipe_closed():
        head = project._store.head()
        while position < head:
            found = log.select(project._store.reader(), wanted, position, head, limit=min(1000, left or 1000))
            for one in found:
                json_line(event_record(one))
            if left is not None:
                left -= len(found)
                if not left:
                    return
            position = found[-1].offset if len(found) == 1000 else head
        pause.wait(_PAUSE)


@event.command(examples="event count\nevent count --key 'sensor.*' -o json")
@_keys
@click.pass_obj
def count(asked: Asked, keys: tuple[str, ...]) -> None:
    """Count events."""
    with needs_home(asked) as project:
        number = project.events.count(keys=keys or None, namespaces=asked.namespace)
    write(asked.output, {"count": number}, Lines(str(number)))
