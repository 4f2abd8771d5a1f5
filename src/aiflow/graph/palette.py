"""The colours and marks of pictures, for light and dark pages.

Knows nothing of what is drawn with them.
"""

from __future__ import annotations

__all__ = ["GLYPHS", "LIGHT", "PAINTS", "Paint"]

Paint = tuple[str, str, str, str]
"""Light fill and edge, dark fill and edge; an edge may be '' for none."""

_STATUS = {  # light: fill, edge, text; dark: fill, edge, text
    "INIT": ("#f8fafc", "#94a3b8", "#64748b", "#1e293b", "#64748b", "#94a3b8"),
    "QUEUED": ("#ecfeff", "#06b6d4", "#0e7490", "#083344", "#0891b2", "#67e8f9"),
    "RUNNING": ("#eff6ff", "#3b82f6", "#1d4ed8", "#172554", "#3b82f6", "#93c5fd"),
    "SUCCESS": ("#f0fdf4", "#22c55e", "#15803d", "#052e16", "#16a34a", "#86efac"),
    "FAILED": ("#fef2f2", "#ef4444", "#b91c1c", "#450a0a", "#ef4444", "#fca5a5"),
    "STOPPING": ("#fffbeb", "#f59e0b", "#b45309", "#451a03", "#d97706", "#fcd34d"),
    "STOPPED": ("#f1f5f9", "#64748b", "#475569", "#1f2937", "#94a3b8", "#cbd5e1"),
    "RETRYING": ("#fff7ed", "#f97316", "#c2410c", "#431407", "#ea580c", "#fdba74"),
    "SKIPPED": ("#f8fafc", "#cbd5e1", "#94a3b8", "#172033", "#475569", "#64748b"),
}

LIGHT = {status: (fill, edge) for status, (fill, edge, *_) in _STATUS.items()}
"""Fill and edge of each status where there is one theme only."""

_PARTS = {  # light: fill, edge; dark: fill, edge ('' for none)
    "panel": ("#ffffff", "", "#0f172a", ""),
    "frame": ("#f8fafc", "#dbe3ec", "#151f35", "#334155"),
    "frame-name": ("#64748b", "", "#94a3b8", ""),
    "wire": ("none", "#7c8ba1", "none", "#8494ab"),
    "wire-head": ("#7c8ba1", "", "#8494ab", ""),
    "rule": ("none", "#8b5cf6", "none", "#a78bfa"),
    "rule-head": ("#8b5cf6", "", "#a78bfa", ""),
    "rule-text": ("#6d28d9", "", "#c4b5fd", ""),
    "tag": ("#ffffff", "", "#0f172a", ""),
    "event": ("#f5f3ff", "#a78bfa", "#2e1065", "#8b5cf6"),
    "event-text": ("#5b21b6", "", "#ddd6fe", ""),
    "bolt": ("#8b5cf6", "", "#a78bfa", ""),
    "flink": ("none", "#e6526f", "none", "#f07c93"),
    "more": ("#ffffff", "#94a3b8", "#0f172a", "#64748b"),
    "dataset": ("#f0fdfa", "#14b8a6", "#042f2e", "#0d9488"),
    "dataset-name": ("#115e59", "", "#99f6e4", ""),
    "model": ("#eef2ff", "#6366f1", "#1e1b4b", "#818cf8"),
    "model-name": ("#3730a3", "", "#c7d2fe", ""),
    "artifact": ("#fffbeb", "#d97706", "#451a03", "#d97706"),
    "artifact-name": ("#92400e", "", "#fde68a", ""),
    "more-name": ("#64748b", "", "#94a3b8", ""),
    "note": ("#64748b", "", "#94a3b8", ""),
    "bar": ("#e2e8f0", "", "#334155", ""),
}


def _paints() -> dict[str, Paint]:
    paints = dict(_PARTS)
    for shape in ("job", "stream", "map"):
        paints[shape] = ("#ffffff", "#94a3b8", "#1e293b", "#64748b")
        paints[f"{shape}-name"] = ("#0f172a", "", "#f1f5f9", "")
    for status, (fill, edge, text, dark_fill, dark_edge, dark_text) in _STATUS.items():
        paints[status] = (fill, edge, dark_fill, dark_edge)
        paints[f"{status}-text"] = (text, "", dark_text, "")
        paints[f"{status}-mark"] = (edge, "", dark_edge, "")
    paints["SKIPPED-name"] = ("#94a3b8", "", "#64748b", "")
    return paints


PAINTS = _paints()
"""How each part of an SVG picture is painted."""

GLYPHS = {
    "INIT": "M0 0h.01",
    "QUEUED": "M-2.7 0h.01M0 0h.01M2.7 0h.01",
    "RUNNING": "M-1.4 -2.3L2.4 0L-1.4 2.3Z",
    "SUCCESS": "M-2.6 .2L-.8 2L2.7 -1.8",
    "FAILED": "M-2 -2L2 2M2 -2L-2 2",
    "STOPPING": "M-1.4 -2.2V2.2M1.4 -2.2V2.2",
    "STOPPED": "M-1.6 -1.6H1.6V1.6H-1.6Z",
    "RETRYING": "M2.3 -1.4A2.7 2.7 0 1 0 2.7 .6M2.7 -3.2V-1.2H.7",
    "SKIPPED": "M-2.4 -2.2L-.2 0L-2.4 2.2M.6 -2.2L2.8 0L.6 2.2",
    "flink": "M-6 -3.5q3 -3 6 0t6 0M-6 0.5q3 -3 6 0t6 0M-6 4.5q3 -3 6 0t6 0",
    "bolt": "M1 -6L-3.5 1H-.6L-1.2 6L3.6 -1.2H.6Z",
}
"""Marks around the point 0, 0, as SVG paths."""
