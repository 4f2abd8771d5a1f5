"""How texts and numbers stand in pictures: the font, how wide a text is, and a coordinate as text.

Knows nothing of what is drawn.
"""

from __future__ import annotations

import unicodedata

__all__ = ["FONT", "number", "text_width"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def number(value: float) -> str:
    """Write a coordinate, in tenths of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


_EMS = {
    "ijl'|": 0.23,
    "ft.,:;/\\I![] ": 0.28,
    '()-r`{}·"': 0.34,
    "ckvxyzsJ*": 0.5,
    "abdeghnopqu0123456789_L?#$": 0.56,
    "+<=>~×FTZ": 0.6,
    "ABEKPSVXY&": 0.67,
    "wCDHNRU": 0.73,
    "GOQ": 0.78,
    "mM%": 0.87,
    "W@…—": 1.0,
}
_EM = {c: ems for chars, ems in _EMS.items() for c in chars}
"""Widths of Helvetica and Arial, in parts of the size."""


def text_width(text: str, size: float) -> float:
    """Estimate how wide a text is: fonts differ by some percent, and what surrounds it leaves room for that."""
    return sum(_EM.get(c) or _other_width(c) for c in text) * size * 1.1


def _other_width(c: str) -> float:
    return 0.0 if unicodedata.combining(c) else 1.0 if unicodedata.east_asian_width(c) in "WF" else 0.7
