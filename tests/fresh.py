"""Does what the README says, as a stranger: an empty folder, an empty virtual environment, a clean environment.

    python tests/fresh.py

Prints what it does, and ends with 1 where something is not as the README says. It takes half a minute, most of it the installation.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.pages import commands_of, files_of  # noqa: E402


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="aiflow-fresh-") as name:
        folder, environment = Path(name, "work"), Path(name, "venv")
        folder.mkdir()
        page = (ROOT / "README.md").read_text(encoding="utf-8")
        venv.create(environment, with_pip=True)
        tell(f"pip install {ROOT.name} into an empty environment")
        do(
            [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT],
            folder,
        )
        for file, code in files_of(page).items():
            (folder / file).write_text(code, encoding="utf-8")
            tell(f"python {file}")
            do([environment / "bin" / "python", file], folder)
        aiflow = environment / "bin" / "aiflow"
        for line, words, expected in commands_of(page):
            tell(line)
            shown = do(
                [aiflow, *(newest(aiflow, folder) if word == "ID" else word for word in words)], folder, expected
            )
            assert shown.strip() or expected, f"{line} shows nothing"
        tell("the README holds")


def newest(aiflow: Path, folder: Path) -> str:
    return str(json.loads(do([aiflow, "list", "executions", "-o", "json", "--limit", "1"], folder))[0]["id"])


def tell(text: str) -> None:
    print(f"fresh:     {text}", flush=True)


def do(command: list[Path | str], folder: Path, expected: int = 0) -> str:
    """Run a command with next to nothing in its environment; give what it printed."""
    index = {
        name: value
        for name, value in os.environ.items()
        if name.lower().startswith(("pip_", "http", "no_proxy", "ssl_"))
    }
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", **index}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=clean, capture_output=True, text=True, timeout=600)
    if done.returncode != expected:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
