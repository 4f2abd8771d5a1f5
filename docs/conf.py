"""How the documentation is built: Sphinx, Furo and MyST. `make docs` builds it with warnings as errors."""

from importlib.metadata import version as installed_version

project = "aiflow"
author = "The aiflow developers"
copyright = "2026, The aiflow developers"
version = release = installed_version("aiflow")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "notes"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

html_theme = "furo"
html_title = f"aiflow {release}"
