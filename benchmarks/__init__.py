"""Every speed that the README claims, measured next to what the bare machine needs for it: `python -m benchmarks`."""
