"""Learn from a stream: pictures of digits come in batches, and each batch is first a test and then a lesson.

    aiflow run examples/stream_train.py -p size=100

`batches` yields (a stream job), `learn` runs once for each batch, and `seen` takes the whole stream. What the model knows
is in the state of `learn`: sums and counts of each class, from which the nearest mean is told. Kill it in the middle, and
`aiflow run --resume examples/stream_train.py` goes on with the next batch.
"""

from collections.abc import Iterator

import aiflow as af

Batch = tuple[list[list[float]], list[int]]


@af.job
def batches(size: int) -> Iterator[Batch]:
    from sklearn.datasets import load_digits

    pictures, digits = load_digits(return_X_y=True)
    state = af.current().state
    for at in range(state.get("next", 0), len(digits), size):
        state["next"] = at + size  # saved together with the batch
        yield pictures[at : at + size].tolist(), digits[at : at + size].tolist()


@af.job
def learn(batch: Batch) -> float:
    """Tell how many of this batch are recognised by what was learned before, then learn it."""
    import numpy as np

    pictures, digits = np.array(batch[0]), np.array(batch[1])
    state = af.current().state
    sums, counts = np.array(state.get("sums", np.zeros((10, 64)))), np.array(state.get("counts", np.zeros(10)))
    means = sums / np.maximum(counts, 1)[:, None]
    nearest = np.linalg.norm(pictures[:, None] - means[None], axis=2).argmin(axis=1)
    right = float((nearest == digits).mean())
    np.add.at(sums, digits, pictures)
    np.add.at(counts, digits, 1)
    state["sums"], state["counts"] = sums.tolist(), counts.tolist()
    af.current().set_label(f"{right:.0%} of {len(digits)}")
    return right


@af.job
def seen(stream: af.Stream[Batch]) -> int:
    return sum(len(digits) for _, digits in stream)


@af.workflow
def stream_train(size: int = 100):
    stream = batches(size)
    learn(stream)
    seen(stream)
