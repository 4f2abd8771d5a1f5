"""Owns the version number; the only place that has it."""

__version__ = "0.1.0.dev0"
