"""What a data set comes to, chunk by chunk."""

import numpy as np

from convnet.analysis.streaming import accumulate


def test_every_item_counts_once_and_all_chunks_are_of_one_size():
    items, done, shapes = {"a": np.arange(7.0), "b": np.ones((7, 2))}, [], []

    def add(total, chunk, counted):
        shapes.append((chunk["a"].shape, chunk["b"].shape))
        return [*total, *chunk["a"][counted]]

    assert accumulate(add, [], items, size=3, on_progress=done.append) == list(range(7))
    assert shapes == [((3,), (3, 2))] * 3
    assert done == [3, 3, 1]


def test_fewer_items_than_a_chunk_holds():
    found = accumulate(lambda total, chunk, counted: total + chunk[counted].sum(), 0, np.arange(4), size=100)
    assert found == 6
