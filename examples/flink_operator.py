"""Two programs in Java, in a jar: a batch on a Flink cluster, and after it a stream, which is stopped with a savepoint.

    aiflow run examples/flink_operator.py -p target=http://127.0.0.1:8081

Without `target` they run on the cluster of the home, which `pip install 'aiflow[flink]'` brings. The stream goes on until it is
interrupted (Ctrl-C, or `aiflow execution stop ID`); then `aiflow execution resume ID` goes on with its numbers and its sum where it was.
examples/jars has the source of the jar, and builds it.
"""

from pathlib import Path

import aiflow as af

HERE = Path(__file__).parent


@af.workflow
def flink_operator(target: str = "local", jar: str = "jars/counting.jar", folder: Path = HERE / "out/jars") -> None:
    text, out = HERE / "jars/WordCount.java", folder.absolute()
    words = af.flink_jar(jar, "WordCount", [text, out / "words"], name="words", target=target)
    af.flink_jar(jar, "Sums", [out / "sums"], name="sums", target=target, stream=True).after(words)
