"""What a whole data set comes to, chunk by chunk, without ever holding what each image gives."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import jax
import numpy as np


def accumulate(
    function: Callable[[Any, Any, np.ndarray], Any],
    total: Any,
    items: Any,
    *,
    size: int,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Any:
    """`total` after total = function(total, chunk, counted) for `size` items at a time.

    items: an array [N, …] or a pytree of such; chunk: the same with B of them. The last chunk is filled up with its
    last item, so that one program serves all: counted, bool [B], says which items count. on_progress is told how many
    items each chunk has done.
    """
    count = len(jax.tree.leaves(items)[0])
    size = min(size, count)
    for start in range(0, count, size):
        numbers = np.arange(start, start + size)
        chunk = jax.tree.map(itemgetter(np.minimum(numbers, count - 1)), items)
        total = function(total, chunk, numbers < count)
        on_progress(min(size, count - start))
    return total
