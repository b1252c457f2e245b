"""What a run comes to, in memory and on disk."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from convnet import models, train
from convnet.config import RunConfig
from convnet.journal import Journal, check_same_run, is_finished
from convnet.record import parameter_hash, read_manifest, write_atomically


@dataclass(frozen=True)
class RunResult:
    """A finished run. The variables are those of the epoch that was best on the validation set, and the test set was
    looked at once, with them."""

    config: RunConfig
    records: tuple[train.EpochRecord, ...]
    variables: Any
    best_epoch: int
    test_loss: float
    test_hits: int
    test_logits: np.ndarray
    compile_seconds: float

    @property
    def test_images(self) -> int:
        return len(self.test_logits)

    @property
    def test_accuracy(self) -> float:
        """test_hits / test_images. What is to be compared exactly compares the hits."""
        return self.test_hits / self.test_images

    @property
    def seconds_per_epoch(self) -> float:
        """Median over the epochs; compilation and evaluation are not in it."""
        return float(np.median([record.seconds for record in self.records]))

    def seconds_to(self, accuracy: float | None) -> float | None:
        """Training time until the validation accuracy first reached `accuracy`; None if it never did."""
        if accuracy is None:
            return None
        elapsed = np.cumsum([record.seconds for record in self.records])
        reached = [t for t, record in zip(elapsed, self.records, strict=True) if record.validation_accuracy >= accuracy]
        return float(reached[0]) if reached else None


def conclude(journal: Journal, result: RunResult, **facts: Any) -> None:
    """Write `result` beside the metrics, then its figures and `facts` in the manifest: the run is complete."""
    save_result(result, journal.path)
    journal.finish(
        result.variables,
        test_hits=result.test_hits,
        test_images=result.test_images,
        test_accuracy=result.test_accuracy,
        test_loss=result.test_loss,
        best_epoch=result.best_epoch,
        train_seconds=sum(record.seconds for record in result.records),
        **facts,
    )


def counted_hits(accuracy: float, images: int) -> int:
    """The number of `images` that were classified rightly, of an `accuracy` that was stored as a mean in float32.

    Raises ValueError for an accuracy that is no such mean.
    """
    hits = round(accuracy * images) if images > 0 and 0 <= accuracy <= 1 else -1
    if hits < 0 or abs(hits / images - accuracy) > np.finfo(np.float32).eps:
        raise ValueError(f"test_accuracy is {accuracy!r}: expected a whole number of hits in {images!r} images")
    return hits


class DamagedResult(ValueError):
    """A result on disk that is not what was written there."""


def save_result(result: RunResult, directory: Path) -> None:
    """Write `result` as `result.npz`, from which `load_result` rebuilds it bit for bit; all of it or nothing."""
    arrays = {name: np.asarray(array) for name, array in models.flatten(result.variables).items()}
    arrays["test_logits"] = np.asarray(result.test_logits)
    arrays["records"] = np.array([astuple(record) for record in result.records], np.float64)
    arrays["facts"] = np.array([result.best_epoch, result.test_loss, result.test_accuracy, result.compile_seconds])
    arrays["test_hits"] = np.array(result.test_hits)
    # NumPy has no name for bfloat16 and its like, and would bring back raw bytes.
    dtypes = json.dumps({name: str(array.dtype) for name, array in arrays.items()})
    buffer = io.BytesIO()
    np.savez(buffer, dtypes=np.array(dtypes), **{name: _plain(array) for name, array in arrays.items()})
    write_atomically(directory / "result.npz", buffer.getvalue())


def load_result(config: RunConfig, directory: Path) -> RunResult:
    """What `save_result` wrote for `config`.

    Raises DamagedResult where there is none that can be read, or other parameters than the manifest speaks of.
    """
    path = directory / "result.npz"
    try:
        result = _read_result(config, path)
    except PermissionError:
        raise
    except Exception as error:  # whatever a reader of damaged files may stumble over
        reason = " ".join(str(error).split())[:200] or repr(error)
        raise DamagedResult(f"{path} cannot be read ({reason})") from error
    expected = (read_manifest(directory) or {}).get("parameter_hash")
    if expected not in (None, parameter_hash(result.variables)):
        raise DamagedResult(f"{path} holds other parameters than its manifest speaks of")
    return result


def finished_result(
    config: RunConfig, directory: Path, identity: Mapping[str, Any], *, accept_changes: bool = False
) -> RunResult | None:
    """The result in `directory` if the run of this identity is finished there; None if not, or if the result is damaged
    (which is warned of), as all but its checkpoints is lost.

    Raises what `check_same_run` raises.
    """
    check_same_run(directory, identity, accept_changes=accept_changes)
    if not is_finished(directory, identity, accept_changes=accept_changes):
        return None
    try:
        return load_result(config, directory)
    except DamagedResult as damaged:
        warnings.warn(f"{damaged}: computed again from the last checkpoint", RuntimeWarning, stacklevel=4)
        return None


def _read_result(config: RunConfig, path: Path) -> RunResult:
    with path.open("rb") as file, np.load(file) as stored:  # opened here: NumPy leaves a damaged file open
        arrays = dict(stored)
    dtypes = json.loads(str(arrays.pop("dtypes"))) if "dtypes" in arrays else {}
    arrays = {name: array.view(jnp.dtype(dtypes.get(name, array.dtype))) for name, array in arrays.items()}
    table, facts, logits = (arrays.pop(name) for name in ("records", "facts", "test_logits"))
    # Older files have the mean alone.
    hits = int(arrays.pop("test_hits")) if "test_hits" in arrays else counted_hits(float(facts[2]), len(logits))
    kinds = [int if f.type == "int" else float for f in fields(train.EpochRecord)]
    return RunResult(
        config=config,
        records=tuple(train.EpochRecord(*(kind(x) for kind, x in zip(kinds, row, strict=True))) for row in table),
        variables=models.unflatten(arrays),
        best_epoch=int(facts[0]),
        test_loss=float(facts[1]),
        test_hits=hits,
        test_logits=logits,
        compile_seconds=float(facts[3]),
    )


def _plain(array: np.ndarray) -> np.ndarray:
    """The same bytes in a dtype of NumPy's own."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array
