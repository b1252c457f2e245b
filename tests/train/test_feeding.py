"""Images that are read in windows of batches are trained on to the bits of those that lie on the device."""

from collections import defaultdict
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import data
from convnet.ablation import Replicates
from convnet.architectures import CNN
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Split, StoredImages, batched_map, from_arrays
from convnet.record import parameter_hash
from convnet.run import Trainer
from convnet.train import Layout, feeding
from tests.data.test_stored import Source

pytest.importorskip("grain", reason="grain is not installed")

SIDE = 6
IMAGE = SIDE * SIDE * 3


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    return from_arrays("noise", rng.integers(0, 256, (300, SIDE, SIDE, 3), np.uint8), np.arange(300) % 4)


def stored(split):
    return Split(StoredImages(Source(split.images), split.images.shape[1:]), split.labels)


def config(**settings):
    model = CNN(widths=(4,), norm="batch", dropout=0.2, head_width=8)
    return RunConfig(
        data=DataConfig(shift=1, flip=True),
        model=model,
        optim=OptimConfig(learning_rate=0.1),
        train=TrainConfig(epochs=2, **settings),
    )


def outcome(config, dataset, **settings):
    result = Trainer(config, dataset, **settings).run()
    figures = [(r.train_loss, r.train_accuracy, r.grad_norm, r.validation_loss) for r in result.records]
    return parameter_hash(result.variables), figures, result.test_loss, result.test_hits, result.test_logits.tobytes()


@pytest.mark.parametrize(
    ("batch", "window"),
    [
        pytest.param(10, 2**26, id="one window"),
        pytest.param(7, 5 * 7 * IMAGE, id="a shorter last one", marks=pytest.mark.slow),
        pytest.param(30, 1, id="the shortest windows", marks=pytest.mark.slow),
        pytest.param("full", 1, id="one step", marks=pytest.mark.slow),
    ],
)
def test_streamed_and_resident_images_give_equal_bits(dataset, batch, window, monkeypatch):
    monkeypatch.setattr(feeding, "WINDOW", window)
    settings = config(batch_size=batch)
    assert outcome(settings, dataset.mapped(stored)) == outcome(settings, dataset)


@pytest.mark.slow
def test_traced_settings_reach_streamed_programs(dataset):
    settings = config(batch_size=30, label_smoothing=0.2)
    traced = dict(traced=("optim.learning_rate", "train.label_smoothing"))
    assert outcome(settings, dataset.mapped(stored), **traced) == outcome(settings, dataset, **traced)


def test_a_streamed_run_is_stopped_and_goes_on_to_the_same_bits(dataset, tmp_path):
    streamed, settings = dataset.mapped(stored), config(batch_size=30)

    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(settings, streamed).run(on_epoch=lambda record: None if record.epoch < 2 else stop(record),
                                        directory=tmp_path, every_epoch=True)  # fmt: skip
    resumed = Trainer(settings, streamed).run(directory=tmp_path, resume=True)
    assert parameter_hash(resumed.variables) == outcome(settings, streamed)[0]


@pytest.mark.parametrize("steps", range(1, 40))
@pytest.mark.parametrize("batch_bytes", [2**24, 2**25, 2**27])
def test_no_window_has_a_single_step(steps, batch_bytes):
    length = feeding.steps_at_once(steps, batch_bytes)
    assert steps == 1 or (length >= 2 and steps % length != 1)
    assert length * batch_bytes <= max(feeding.WINDOW, 8 * batch_bytes)


@pytest.mark.parametrize(("n", "wanted", "multiple_of"), [(5, 2, 1), (5, 9, 1), (5, 9, 4), (12, 5, 4), (1, 3, 2)])
def test_evaluation_reads_the_rows_that_a_resident_one_does(n, wanted, multiple_of):
    seen = []
    batched_map(lambda part: seen.append(len(part)) or part, jnp.arange(n), wanted, multiple_of=multiple_of)
    rows = feeding.rows_of(n, wanted, multiple_of)
    assert rows.shape[1] == seen[0]
    np.testing.assert_array_equal(rows.ravel()[:n], np.arange(n))
    assert set(rows.ravel()[n:]) <= {n - 1}


def test_streamed_images_are_not_for_replicates_in_one_program(dataset):
    runs = Replicates(config(batch_size=30), dataset.mapped(stored), vmapped=True)
    with pytest.raises(ValueError, match="images are not in memory, where they serve one run"):
        list(runs.run_all([config(batch_size=30)]))


def test_which_feed_is_chosen(tmp_path, monkeypatch):
    from PIL import Image

    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(10):
            Image.fromarray(np.full((4, 4), 20 * i, np.uint8)).save(tmp_path / label / f"{i}.png")
    folder = DataConfig(folder=str(tmp_path))
    size = 20 * 16
    for free, streamed in ((None, False), (4 * size, False), (4 * size - 1, True)):
        monkeypatch.setattr(data, "free_memory", lambda free=free: free)
        assert data.for_training(folder).stored is streamed
    assert data.for_training(folder, "streamed").stored
    assert not data.for_training(folder, "resident").stored
    assert not data.for_training(DataConfig()).stored
    with pytest.raises(ValueError, match="feed is 'stream': expected one of auto, resident, streamed"):
        data.for_training(folder, "stream")


class Unfinished:
    """What a program gives back before it has computed it; `log` is told when somebody waits."""

    shape = 1, 4

    def __init__(self, log):
        self.log = log

    def block_until_ready(self):
        self.log.append("waited")

    def __array__(self, dtype=None, copy=None):
        return np.zeros(self.shape)


def test_reading_does_not_run_ahead_of_computing(dataset, monkeypatch):
    """Or data larger than memory would all be in memory, waiting."""
    monkeypatch.setattr(feeding, "WINDOW", 3 * 10 * IMAGE)
    data, log = dataset.mapped(stored), []

    def begun(*_):
        log.append("began")
        return Unfinished(log)

    programs = SimpleNamespace(
        epoch=defaultdict(lambda: lambda state, *_: (state, begun())),
        classify=defaultdict(lambda: begun),
        score={"test": lambda *_: None},
    )
    feed = feeding.streamed(programs, data, Layout(), 10, 10)
    feed.epoch(SimpleNamespace(key=jax.random.key(0), step=0), {})
    assert log == ["began"] + ["waited", "began"] * 6  # 21 steps in windows of 3
    log.clear()
    feed.test({}, {})
    assert log == ["began", "waited", "began"]  # 6 batches
