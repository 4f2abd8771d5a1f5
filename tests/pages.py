"""What a page of the documentation has its reader do: the files that it shows, and the commands. The standard library is enough."""

import re
import shlex
from collections.abc import Iterator

NOT_OURS = ("make ", "pip ", "git ", "cd ")
"""Commands in the documents that are not aiflow's, and are not run."""


def files_of(page: str) -> dict[str, str]:
    """Give the files that a reader saves, each with what is in it."""
    return dict(re.findall(r"^<!-- file: (\S+) -->\n\n```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


def commands_of(page: str) -> Iterator[tuple[str, list[str], int]]:
    """Give the commands of aiflow in order: the line, the words after ``aiflow``, and the exit code that the page tells."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for line in "".join(blocks).splitlines():
        command = line.removeprefix("$ ")
        if command.startswith(NOT_OURS):
            continue
        expected = int(found[1]) if (found := re.search(r"# exit code (\d)", line)) else 0
        words = shlex.split(command, comments=True)
        assert words.pop(0) == "aiflow", line
        yield line, words, expected
