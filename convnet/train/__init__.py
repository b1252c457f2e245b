"""Training as pure functions: a state, a step, an epoch compiled as one program, and the host loop around it.

Model, optimiser and loss come in as arguments; nothing here knows how they were chosen.
"""

from convnet.train.checkpoint import Checkpoint, Checkpoints, OtherRun
from convnet.train.epoch import make_epoch, make_evaluate
from convnet.train.feeding import Feed, resident, streamed
from convnet.train.loop import Fit, fit
from convnet.train.programs import Programs, compiled, digests, lower, lower_streamed
from convnet.train.progress import EpochRecord, NonFiniteLoss, is_best, record_of
from convnet.train.sharding import Layout, layout_of
from convnet.train.state import STREAMS, TrainState, init_state, stream
from convnet.train.step import make_train_step

__all__ = [
    "STREAMS",
    "Checkpoint",
    "Checkpoints",
    "EpochRecord",
    "Feed",
    "Fit",
    "Layout",
    "NonFiniteLoss",
    "OtherRun",
    "Programs",
    "TrainState",
    "compiled",
    "digests",
    "fit",
    "init_state",
    "is_best",
    "layout_of",
    "lower",
    "lower_streamed",
    "make_epoch",
    "make_evaluate",
    "make_train_step",
    "record_of",
    "resident",
    "stream",
    "streamed",
]
