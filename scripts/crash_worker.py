"""The training job that scripts/crash_test.py kills: a small MLP on digits, resumed from wherever it stood.

    python -m scripts.crash_worker DIRECTORY EPOCHS [WOUND EPOCH FRACTION]

Prints the number of each epoch when it is done. WOUND is where the process kills itself (SIGKILL) in that EPOCH:
"metrics": when FRACTION of the line of metrics is written; "between": after that line, before its checkpoint;
"saving": when the checkpoint is under way in the background; "result": before the result of the last epoch is written.
"rare": nowhere, but checkpoints are only made where the run is asked to end. It then ends as a command does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from convnet import data, journal, result
from convnet.architectures import MLP
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.record import RunDirectory
from convnet.run import Trainer


def job(epochs: int) -> RunConfig:
    """Fast, and using every stream of randomness: a lost or repeated draw would change the parameters."""
    return RunConfig(
        data=DataConfig("digits", limit=300, shift=1),
        model=MLP(widths=(32,), dropout=0.2),
        optim=OptimConfig(learning_rate=0.05, warmup=0.1),
        train=TrainConfig(epochs=epochs, batch_size=32),
        seed=5,
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wound(kind: str, epoch: int, fraction: float) -> None:
    """Let this process die at that place of that epoch."""
    metrics, save = RunDirectory.metrics, journal.Checkpoints.save

    def torn_metrics(self, values):
        if values["epoch"] == epoch and kind == "metrics":
            line = (json.dumps(values) + "\n").encode()
            with (self.path / "metrics.jsonl").open("ab", buffering=0) as file:
                file.write(line[: int(fraction * len(line))])
            die()
        metrics(self, values)

    def cut_save(self, fit, position):
        here = len(fit.records) == epoch
        if here and kind == "between":
            die()
        save(self, fit, position)
        if here and kind == "saving":
            die()

    def no_result(result, directory):
        die()

    RunDirectory.metrics, journal.Checkpoints.save = torn_metrics, cut_save
    if kind == "result":
        result.save_result = no_result


def main(directory: str, epochs: str, kind: str = "", epoch: str = "0", fraction: str = "0") -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    config = job(int(epochs))
    if kind:
        wound(kind, int(epoch), float(fraction))
    trainer = Trainer(config, data.from_config(config.data))
    try:
        trainer.run(
            on_epoch=lambda record: print(record.epoch, flush=True),
            directory=Path(directory),
            resume=True,
            every_epoch=kind != "rare",
        )
    except journal.Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal)


if __name__ == "__main__":
    main(*sys.argv[1:])
