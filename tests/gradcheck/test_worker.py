"""What a process does that compiles much."""

import jax
import pytest

from convnet.gradcheck import worker


@pytest.mark.parametrize(("bytes_in_use", "times"), [(0, 1), (2**60, 0)])
def test_what_is_compiled_is_forgotten_where_memory_is_short(bytes_in_use, times, monkeypatch):
    cleared = []
    monkeypatch.setattr(worker, "CROWDED", bytes_in_use)
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    worker.make_room()
    assert len(cleared) == times
