"""How colours follow the page they stand on: light or dark as the page says, else as the system says.

Knows nothing of what is coloured, nor of which colours there are.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Colours", "themed"]

Colours = Mapping[str, tuple[str, str]]
"""For a property of CSS the light and the dark colour."""

_SAY = {  # JupyterLab and Notebook 7; Visual Studio Code; Sphinx themes such as Furo; Colab
    "light": ('[data-jp-theme-light="true"]', ".vscode-light", '[data-theme="light"]', '[theme="light"]'),
    "dark": ('[data-jp-theme-light="false"]', ".vscode-dark", '[data-theme="dark"]', '[theme="dark"]'),
}
"""How pages say what they are; others leave it to the system, as a picture in a file does."""


def themed(scope: str, parts: Mapping[str, Colours], more: str = "") -> str:
    """Give the CSS that colours the parts below one element, and the element itself under the name ``""``.

    Programs that know no `light-dark` pass all of it over, so the colours for them are said elsewhere: the light ones.

    Parameters
    ----------
    scope
        A selector of the element, such as ``#picture``.
    parts
        By selector below it, the colours of its properties.
    more
        Further CSS that holds where this holds.

    Examples
    --------
    >>> print(themed("#a", {".ink": {"fill": ("#000", "#fff")}}))
    @supports (color:light-dark(red,red)){#a{color-scheme:light dark}...#a .ink{fill:light-dark(#000,#fff)}}
    """
    rules = [f"{scope}{{color-scheme:light dark}}"]
    rules += [f"{','.join(f'{page} {scope}' for page in pages)}{{color-scheme:{name}}}" for name, pages in _SAY.items()]
    for part, colours in parts.items():
        said = ";".join(f"{what}:{_both(*pair)}" for what, pair in colours.items())
        rules.append(f"{scope}{' ' * bool(part)}{part}{{{said}}}")
    return f"@supports (color:light-dark(red,red)){{{''.join(rules)}{more}}}"


def _both(light: str, dark: str) -> str:
    return light if light == dark else f"light-dark({light},{dark})"
