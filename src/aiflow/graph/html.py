"""Cards as HTML: one text without scripts, links or references, for light and dark pages; whatever is in it stays text.

Knows nothing of what is shown: a value is written as what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from html import escape
from typing import Any, TypeVar, assert_never

from aiflow.graph.card import MOST_ROWS, Card, Data, Note, Part, Picture, Rows, Story, is_empty
from aiflow.graph.palette import LIGHT, PAINTS
from aiflow.graph.params import shown
from aiflow.graph.theme import themed

__all__ = ["card_html", "duration", "short", "short_json"]

_T = TypeVar("_T")
_LONGEST, _LONGEST_STORY, _MOST_PAIRS = 200, 6_000, 50

_LIKE = {
    "GENERATED": "QUEUED", "VALIDATED": "RUNNING", "DEPLOYED": "SUCCESS", "DEPRECATED": "SKIPPED", "DELETED": "STOPPED",
    "INTERRUPTED": "STOPPING", "ACTIVE": "RUNNING", "PAUSED": "STOPPED",
}  # fmt: skip
"""What has the colours of a status of jobs."""

_INK = {
    "--ink": ("#0f172a", "#f1f5f9"), "--soft": ("#64748b", "#94a3b8"), "--line": ("#e2e8f0", "#334155"),
    "--panel": ("#ffffff", "#0f172a"), "--code": ("#f1f5f9", "#1e293b"),
}  # fmt: skip

_STYLE = """
.aiflow-view{background:var(--panel);color:var(--ink);border:1px solid var(--line);border-radius:10px;
margin:6px 0;padding:10px 16px;max-width:100%;box-sizing:border-box;overflow-x:auto;
font:13px/1.5 var(--jp-content-font-family,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif)}
.aiflow-view p{margin:4px 0;color:inherit}
.aiflow-view .soft{color:var(--soft)}
.aiflow-view .fact{margin-right:14px}
.aiflow-view p>.status{margin-right:4px}
.aiflow-view code,.aiflow-view pre{background:var(--code);color:var(--ink);border-radius:4px;padding:1px 5px;
font:12px/1.5 var(--jp-code-font-family,ui-monospace,SFMono-Regular,Menlo,Consolas,monospace)}
.aiflow-view code{overflow-wrap:break-word}
.aiflow-view.aiflow-view td.data{min-width:240px}
.aiflow-view pre{padding:8px 10px;margin:4px 0;overflow-x:auto;white-space:pre}
.aiflow-view .picture{margin:8px 0;overflow-x:auto}
.aiflow-view.aiflow-view table{border-collapse:collapse;margin:8px 0;font-size:13px;color:var(--ink);border:0}
.aiflow-view.aiflow-view tr:nth-child(n){background:transparent}
.aiflow-view.aiflow-view th,.aiflow-view.aiflow-view td{text-align:left;vertical-align:top;padding:3px 16px 3px 0;
border:0;border-bottom:1px solid var(--line);white-space:normal;max-width:480px;overflow-wrap:break-word}
.aiflow-view.aiflow-view th{color:var(--soft);font-weight:500;white-space:nowrap}
.aiflow-view.aiflow-view .number{text-align:right}
.aiflow-view.aiflow-view td.number,.aiflow-view.aiflow-view td.whole{font-variant-numeric:tabular-nums;white-space:nowrap}
.aiflow-view .status{display:inline-block;border:1px solid;border-radius:9px;padding:0 8px;
font-size:11px;font-weight:600;white-space:nowrap}
.aiflow-view summary{cursor:pointer}
"""


def card_html(card: Card) -> str:
    """Write a card as HTML.

    Examples
    --------
    >>> print(card_html(Card(kind="model", name="<knn>", status="DEPLOYED")))
    <div class="aiflow-view">...<strong>&lt;knn&gt;</strong>...</div>
    """
    parts = "".join(_part(part) for part in card.parts)
    return f'<div class="aiflow-view"><style>{_style()}</style>{_head(card)}{_facts(card.facts)}{parts}</div>'


def duration(seconds: float | None) -> str:
    """Write a duration as people say it; '' if there is none.

    Examples
    --------
    >>> [duration(s) for s in (0.0042, 1.25, 75, 7260)]
    ['4 ms', '1.2 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def short(text: str) -> str:
    """Give a text on one line, of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def short_json(value: Any) -> str:
    """Give a value as JSON on one line, of bounded length."""
    return short(json.dumps(value, ensure_ascii=False, default=str))


# --- the parts of a card ----------------------------------------------------------------------------------------------


def _head(card: Card) -> str:
    parts = [_pill(card.status)] if card.status else []
    if card.kind:
        parts.append(f'<span class="soft">{_text(card.kind)}</span>')
    if card.name:
        parts.append(f"<strong>{_text(card.name)}</strong>")
    return f"<p>{' '.join(parts)}</p>" if parts else ""


def _facts(facts: Mapping[str, Any]) -> str:
    said = [
        f'<span class="fact"><span class="soft">{_text(word)}</span> {_written(shown({word: fact})[word])}</span>'
        for word, fact in facts.items()
        if not is_empty(fact)
    ]
    return f"<p>{' '.join(said)}</p>" if said else ""


def _part(part: Part) -> str:
    match part:
        case Rows():
            return _table(part)
        case Picture(svg):
            return f'<div class="picture">{svg}</div>'
        case Note(text):
            return f'<p class="soft">{_text(text)}</p>'
        case Story(name, head, text, is_open):
            if len(text) > _LONGEST_STORY:
                text = "…" + text[-_LONGEST_STORY:]
            line = f"<strong>{_text(name)}</strong>{': ' * bool(head)}{_text(short(head))}"
            opening = "<details open>" if is_open else "<details>"
            return f"{opening}<summary>{line}</summary><pre>{_text(text)}</pre></details>"
        case _:
            assert_never(part)


def _table(table: Rows) -> str:
    if not table.rows:
        return f'<p class="soft">no {_text(_plural(table.noun, 0))}</p>'
    some, more = table.rows[:MOST_ROWS], max(0, len(table.rows) - MOST_ROWS) + table.more
    kinds = [_column([row[place] for row in some]) for place in range(len(table.heads))]
    head = "".join(
        f'<th scope="col"{_class(kind)}>{_text(name)}</th>' for name, kind in zip(table.heads, kinds, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{_class(k)}>{_written(v)}</td>' for v, k in zip(row, kinds, strict=True))}</tr>"
        for row in some
    )
    left = f'<p class="soft">… and {more} more {_text(_plural(table.noun, more))}</p>' if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left}"


def _column(values: Sequence[Any]) -> str:
    """Say how a column is set: numbers to the right, times and the like in one piece, long data with some room."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float | timedelta) and not isinstance(value, bool) for value in known):
        return "number"
    if known and all(isinstance(value, datetime | StrEnum) for value in known):
        return "whole"
    return "data" if any(isinstance(value, Data) and len(short_json(value.value)) > 30 for value in known) else ""


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


# --- values -----------------------------------------------------------------------------------------------------------


def _written(value: Any) -> str:
    """Write a value as what it is."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        said = _text(value.isoformat())
        return f'<time datetime="{said}" title="{said}">{value:%Y-%m-%d %H:%M:%S} UTC</time>'
    if isinstance(value, timedelta):
        return duration(value.total_seconds())
    if isinstance(value, StrEnum):
        return _pill(value)
    if isinstance(value, Data):
        return "" if value.value is None else f"<code>{_text(short_json(value.value))}</code>"
    if isinstance(value, Mapping):
        return _pairs(shown(value))
    if isinstance(value, list | tuple):
        return f"<code>{_text(short_json(value))}</code>" if value else ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return _text(value if isinstance(value, int) else short(str(value)))


def _pairs(values: Mapping[str, Any]) -> str:
    said = [
        f"<code>{_text(name)} = {f'{value:.6g}' if isinstance(value, float) else _text(short_json(value))}</code>"
        for name, value in list(values.items())[:_MOST_PAIRS]
    ]
    return " ".join(said) + " …" * (len(values) > _MOST_PAIRS)


def _pill(status: str) -> str:
    return f'<span class="status {_text(_LIKE.get(status, status))}">{_text(status)}</span>'


def _text(value: object) -> str:
    """Give a text that is text in HTML, too, whatever is in it."""
    return escape(str(value).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}"))


@lru_cache(maxsize=1)
def _style() -> str:
    light, parts = [], {"": _INK}
    for status in LIGHT:
        fill, edge, dark_fill, dark_edge = PAINTS[status]
        text, _, dark_text, _ = PAINTS[f"{status}-text"]
        light.append(f".aiflow-view .{status}{{background:{fill};border-color:{edge};color:{text}}}")
        colours = {"background": (fill, dark_fill), "border-color": (edge, dark_edge), "color": (text, dark_text)}
        parts[f".{status}"] = colours
    ink = ";".join(f"{name}:{colour}" for name, (colour, _) in _INK.items())
    return f".aiflow-view{{{ink}}}{_STYLE}{''.join(light)}\n{themed('.aiflow-view', parts)}"
