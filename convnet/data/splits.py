"""Stratified splits: which examples are held out, fixed by a seed.

Indices only, so that the same functions serve every dataset. Every class keeps its share on both sides, to within one
example of exact proportion; but has one at least, which in a small split others make room for. `spread`, of a sample
that is measured, knows no classes.
"""

import numpy as np


def hold_out(labels: np.ndarray, size: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Divides the examples into those kept and `size` held out, stratified by class.

    labels: [N] integers -> (kept [N - size], held [size]) int64 indices, disjoint, together all of 0 … N − 1. Both in
    random order, so that the first few are a fair sample even of data sorted by class.

    Raises ValueError if a class has a single example, or if either side is too small to give every class one.
    """
    from sklearn.model_selection import train_test_split

    n = len(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min(initial=2) < 2:
        raise ValueError(
            f"labels must have at least two examples of each class, class {classes[counts.argmin()]} has one"
        )
    if not len(classes) <= size <= n - len(classes):
        raise ValueError(
            f"size must leave at least one example for each of the {len(classes)} classes on both sides, "
            f"{len(classes)} to {n - len(classes)} of {n} examples, got {size}"
        )
    kept, held = train_test_split(np.arange(n), test_size=size, stratify=labels, random_state=seed)
    _give_each_class_one(labels, kept, held)
    _give_each_class_one(labels, held, kept)
    return kept, held


def _give_each_class_one(labels: np.ndarray, kept: np.ndarray, held: np.ndarray) -> None:
    """Where a class is too rare for a share of `held`, exchange one of it for one of the class most above its share."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * len(held) / len(labels)
    for label in np.setdiff1d(labels[kept], labels[held]):
        there = np.array([np.count_nonzero(labels[held] == c) for c in classes])
        giver = classes[np.where(there > 1, there - shares, -np.inf).argmax()]
        given, taken = np.flatnonzero(labels[held] == giver)[-1], np.flatnonzero(labels[kept] == label)[-1]
        kept[taken], held[given] = held[given], kept[taken]


def subset(labels: np.ndarray, size: int, *, seed: int = 0) -> np.ndarray:
    """Selects `size` of the examples, stratified by class.

    labels: [N] integers -> [size] int64 indices, each at most once. `size` N selects all, in their own order.

    Raises ValueError if `size` is below the number of classes or above N.
    """
    n, num_classes = len(labels), len(np.unique(labels))
    if not num_classes <= size <= n:
        raise ValueError(f"size must be from {num_classes} (one example per class) to {n} (all examples), got {size}")
    if size == n:
        return np.arange(n)
    # A hold-out smaller than the number of classes cannot be stratified: hold out one example per class and return
    # what is too much.
    left_out = max(n - size, num_classes)
    kept, held = hold_out(labels, left_out, seed=seed)
    return np.concatenate([kept, held[n - size :]])


def spread(n: int, count: int) -> np.ndarray:
    """Rows of `count` of n examples, or of all where there are fewer, spread evenly over them."""
    count = min(count, n)
    return np.arange(count) * n // count
