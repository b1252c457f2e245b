"""The composition root: from a `RunConfig` to a trained, tested network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet import data, hosts, initializers, models, train
from convnet.allocator import give_back_memory
from convnet.config import ALL_DEVICES, MeshConfig, RunConfig
from convnet.data import Dataset
from convnet.identity import versions
from convnet.journal import Journal
from convnet.ops import OpSet
from convnet.result import RunResult, conclude, finished_result
from convnet.settings import differences, require, to_dict
from convnet.shared_journal import SharedJournal
from convnet.signals import StopRequest, stop_requests
from convnet.task import Facts, Task, adopted_task, products
from convnet.train.programs import EVALUATION_BATCH, batch_size_of, compiler_options, init_of, steps_of

OnEpoch = Callable[[train.EpochRecord], None]


class Trainer:
    """The programs of one config, compiled once, run for as many seeds as wanted, in several threads if wanted.

    task: with parts of one's own; None: the config's (`convnet.task.make_task`).
    opset: the ops to compute with; None: what `config.gradient` names.
    traced: names in TRACEABLE that become inputs of the programs instead of constants in them, so that configs which
        differ in nothing else share one compilation. A constant may be folded into its neighbours and an input not, so
        results may part by rounding from those of programs without.
    compiled: whether the programs of a single run are compiled at once, so that no run's time holds it.
    mesh: devices that compute together. By default all there are, or as many as divide each batch evenly.
    deterministic: compile for equal bits at every run (`convnet.train.programs.DETERMINISTIC`). On CPUs they are equal
        anyway.

    On CPUs, steps are faster in a process that has called `convnet.allocator.keep_memory` before; commands do.

    Raises ValueError at construction for anything in `config` that does not fit `dataset` or the devices, an unknown
    name in `traced`, and a task of another config or together with an opset.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        *,
        task: Task | None = None,
        opset: OpSet | None = None,
        traced: Sequence[str] = (),
        compiled: bool = True,
        mesh: MeshConfig = ALL_DEVICES,
        deterministic: bool = True,
    ):
        self.dataset, self.traced, self.mesh, self.deterministic = dataset, tuple(traced), mesh, deterministic
        self.config = self.with_data_name(config)
        n, batch = len(dataset.train), config.train.batch_size
        require(batch == "full" or batch <= n, "train.batch_size", batch, f"at most the {n} training examples")
        facts = Facts.of(dataset, self.config.model)
        self.task = adopted_task(self.config, facts, own=task, opset=opset, traced=self.traced)
        self._digests: dict[int, dict[str, str]] = {}
        self._programs: dict[int, train.Programs] = {}
        self.compile_seconds = 0.0
        self.layout()
        with self.task.precision():
            # Checks the whole network against the image's size without computing anything.
            state = jax.eval_shape(init_of(self.task, steps_of(self.task, dataset)), *self.inputs([self.config]))
            self.parameters = models.count_parameters({"params": state.params})
        if compiled:
            self.programs()

    @property
    def model(self) -> Any:
        return self.task.model

    def with_data_name(self, config: RunConfig) -> RunConfig:
        """`config` with the name of the data that are trained on, which may be the user's own."""
        if config.data.name == self.dataset.name:
            return config
        return replace(config, data=replace(config.data, name=self.dataset.name, folder=None))

    def deciding(self, config: RunConfig) -> dict[str, Any]:
        """What of `config` decides what a run is, as plain JSON values: not where its images lie."""
        return to_dict(self.with_data_name(config), places=False)

    # --- programs -----------------------------------------------------------------------------------------------------

    def programs(self, replicates: int = 0) -> train.Programs:
        """Compiled for so many replicates side by side, or (0) for one run, without an axis for them."""
        if replicates not in self._programs:
            start = time.perf_counter()
            with self.task.precision():
                lowered = self._lower(replicates)
                self._digests[replicates] = train.digests(lowered)
                self._programs[replicates] = train.compiled(lowered, compiler_options(self.deterministic))
                give_back_memory()
            self.compile_seconds += time.perf_counter() - start
        return self._programs[replicates]

    def digests(self, replicates: int = 0) -> dict[str, str]:
        """What decides what is computed, whoever wrote it: a digest of each program as it goes to the compiler."""
        if replicates not in self._digests:
            with self.task.precision():
                self._digests[replicates] = train.digests(self._lower(replicates))
        return self._digests[replicates]

    @property
    def compiler(self) -> dict[str, Any]:
        """How the programs are compiled, as plain JSON values: what products of float32 are, whether equal bits at
        every run were asked for, and the options by which XLA was told so (none on CPUs)."""
        return {
            "products": products(self.config.model.precision),
            "deterministic": self.deterministic,
            "options": compiler_options(self.deterministic),
        }

    def _lower(self, replicates: int) -> train.Programs:
        keys, values = self.inputs([self.config] * max(replicates, 1), replicates)
        layout = self.layout(replicates)
        if self.dataset.stored and replicates:
            raise ValueError("images are not in memory, where they serve one run: expected replicates on their own")
        lower = train.lower_streamed if self.dataset.stored else train.lower
        with layout.in_use():
            return lower(self.task, self.dataset, keys, values, layout)

    def layout(self, replicates: int = 0) -> train.Layout:
        """How the programs for so many replicates (0: for one run) lie on the devices."""
        return train.layout_of(self.mesh, batch_size_of(self.task, self.dataset), mapped=replicates > 0)

    def inputs(self, configs: Sequence[RunConfig], replicates: int = 0):
        """Root keys and traced values of `configs`: arrays [R], or scalars of the only one."""
        keys = jnp.stack([jax.random.key(config.seed) for config in configs])
        values = {name: jnp.asarray([_value(config, name) for config in configs], float) for name in self.traced}
        return (keys, values) if replicates else jax.tree.map(lambda x: x[0], (keys, values))

    def placed(self, replicates: int = 0):
        """(images, labels) of the three splits, where the programs take them."""
        layout = self.layout(replicates)
        return self.dataset.placed(layout, layout.everywhere)

    def feed(self) -> train.Feed:
        """The data on their way into the programs of one run."""
        if not self.dataset.stored:
            return train.resident(self.programs(), self.placed())
        batches = batch_size_of(self.task, self.dataset), EVALUATION_BATCH
        return train.streamed(self.programs(), self.dataset, self.layout(), *batches)

    # --- runs ---------------------------------------------------------------------------------------------------------

    def run(self, seed: int | None = None, on_epoch: OnEpoch = lambda record: None, **options: Any) -> RunResult:
        """Train from `seed` (the config's own unless given), choose the epoch on validation, test once.

        options: those of `run_as`, which tells what is raised.
        """
        return self.run_as(self.config if seed is None else replace(self.config, seed=seed), on_epoch, **options)

    def run_as(
        self,
        config: RunConfig,
        on_epoch: OnEpoch = lambda record: None,
        *,
        directory: Path | str | None = None,
        resume: bool = False,
        accept_changes: bool = False,
        every_epoch: bool = False,
        stop: StopRequest | None = None,
    ) -> RunResult:
        """As `run`, for a config that differs from the trainer's in its seed and traced settings only.

        directory: where to leave manifest, metrics, checkpoints and result; None: nowhere.
        resume: go on with what this run left there, which gives the same bits as if it had never been interrupted (but
        for the seconds); on_epoch then sees the epochs taken over first. A finished run is read.
        accept_changes: go on although the environment or the code is another than it was; the manifest will say so.
        every_epoch: a checkpoint after every epoch, instead of as often as a twentieth of the time allows.
        stop: asked after every epoch. None: signals ask (`convnet.signals`), where this is the main thread and there is
        a directory. What was reached is saved.

        Raises NonFiniteLoss where training diverges; OSError where `directory` is full (what is there can be resumed);
        Stopped; ValueError for another config than the programs are of, and (OtherRun) where `directory` holds another
        run, or one that would have other bits now, naming each field with its value then and now.
        """
        config = self.with_data_name(config)
        self.check_shared(config)
        if directory is None:
            return self._fit(config, on_epoch)
        directory = Path(directory)
        hosts.agree(lambda: self.common(config))
        changes = dict(accept_changes=accept_changes)
        finished = lambda: finished_result(config, directory, self.identity(config), **changes)  # noqa: E731
        if resume and (result := hosts.shared(finished)) is not None:
            for record in result.records:
                on_epoch(record)
            return result
        options = dict(resume=resume, every_epoch=every_epoch, **changes)
        listening = nullcontext(stop) if stop is not None else stop_requests()
        opened = partial(self.journal, directory, config, **options)
        with listening as stop, SharedJournal(opened, stop) as journal:
            result = self._fit(config, on_epoch, journal)
            journal.write(partial(conclude, result=result))
        return result

    def check_shared(self, config: RunConfig) -> None:
        """ValueError for a config that these programs cannot run, naming what differs."""
        others = differences(self.deciding(self.config), self.deciding(config))
        if others := sorted(others.keys() - {"seed", *self.traced}):
            raise ValueError(f"{others[0]} is not as in the compiled program: expected only the seed to differ")

    def identity(self, config: RunConfig, replicates: int = 0) -> dict[str, Any]:
        """What decides the bits of a run of `config` here, the environment apart, as plain JSON values.

        replicates: how many are trained in one program with it; 0: none.
        """
        programs = {"programs": self.digests(replicates), "replicates": replicates, "traced": list(self.traced)}
        return self._asked(config, replicates) | programs

    def common(self, config: RunConfig) -> dict[str, Any]:
        """What has to be the same in all processes that compute a run of `config` together."""
        return self._asked(config) | versions()

    def _asked(self, config: RunConfig, replicates: int = 0) -> dict[str, Any]:
        return {
            "config": self.deciding(config),
            "data": self.dataset.description,
            "computes": self.task.computes(),
            "compiler": self.compiler,
            "mesh": self.layout(replicates).description,
        }

    def journal(self, directory: Path, config: RunConfig, *, replicates: int = 0, **options: Any) -> Journal:
        """A run's records in `directory`. replicates: how many are trained in one program with it; 0: none."""
        facts = {
            "parameters": self.parameters,
            "classes": self.dataset.num_classes,
            "images": to_dict(self.task.facts),
            "compile_seconds": self.compile_seconds,
        }
        if folder := self.with_data_name(config).data.folder:
            facts["folder"] = folder
        return Journal(directory, self.identity(config, replicates), facts=facts, **options)

    def _fit(self, config: RunConfig, on_epoch: OnEpoch, journal: SharedJournal | None = None) -> RunResult:
        feed = self.feed()

        def epoch(state):
            return feed.epoch(state, values)

        def validate(variables):
            info, _ = feed.validate(variables, values)
            return {"loss": info["loss"], "accuracy": int(info["hits"]) / len(self.dataset.validation)}

        with self.task.precision():
            key, values = self.layout().place(self.inputs([config]))
            start = self.programs().init(key, values)
            if journal is not None:
                start = journal.begin(start)
                for record in start.records if isinstance(start, train.Fit) else ():
                    on_epoch(record)
            keep = (lambda fit: None) if journal is None else journal.keep
            fit = train.fit(start, epoch, validate, config.train.epochs, on_epoch, keep)
            info, logits = feed.test(fit.best_variables, values)
        return self.result(config, fit.records, fit.best_variables, fit.best_epoch, info, logits)

    def result(self, config: RunConfig, records, variables, best_epoch: int, info, logits) -> RunResult:
        """What a run came to. info, logits: of the test images, with `variables`."""
        if hosts.several():  # what lies on all their devices, all would have to compute with
            variables = jax.tree.map(np.asarray, variables)
        return RunResult(
            config=config,
            records=tuple(records),
            variables=variables,
            best_epoch=best_epoch,
            test_loss=float(info["loss"]),
            test_hits=int(info["hits"]),
            test_logits=np.asarray(logits),
            compile_seconds=self.compile_seconds,
        )


def _value(config: RunConfig, path: str) -> float:
    section, name = path.split(".")
    value = getattr(getattr(config, section), name)
    return initializers.INITIALIZERS[config.model.initializer][1] if value is None else value


def run(config: RunConfig, **callbacks) -> RunResult:
    """Load, train, test: one run of `config`."""
    dataset = data.from_config(config.data)
    return Trainer(config, dataset).run(**callbacks)
