"""Does it matter? Vary settings of a run, each level with the same seeds, and see what changes, and how surely.

    python experiments/ablate.py --preset initializers                  one of experiments/presets/, or your own file
    python experiments/ablate.py --factor model.kernel=3,5 --factor optim.name=sgd,nesterov --train.epochs 10
    python experiments/ablate.py --preset initializers --shard 2/8       one part; the last to end has the whole report
    python experiments/ablate.py --list                                  the presets and their questions
    python experiments/ablate.py --quick                                 does everything run?

The same command again skips what is finished. Measured answers stand in docs/ablations.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from convnet.ablation import Arm
from convnet.ablation.cells import Cell, Work, cells_of, check_comparable, parse_shard, read, share
from convnet.ablation.plan import Plan, describe, make_plan, preset_names, quickened, read_preset
from convnet.ablation.results import COLUMNS
from convnet.cli import given, run_command, run_config
from convnet.config import MeshConfig, RunConfig
from convnet.progress import progress
from convnet.recipes import QUICK_SEEDS
from convnet.record import write_json
from convnet.report import study, text_table
from convnet.report.ablation_page import write_ablation
from convnet.settings import require
from convnet.threads import use_threads

PRESETS = Path(__file__).resolve().parent / "presets"
DEFAULT_PRESET = "initializers"


@dataclass(frozen=True)
class Ablate:
    """Vary settings of a training run, with the same seeds for every arm; tell which differences hold. Writes
    results.csv (a row per arm and seed), summary.json and a self-contained report.html. The same command again skips
    finished cells. The settings at the end are what all arms share; their defaults follow --preset, --model.name and
    --config."""

    base: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    factor: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """SETTING=LEVEL,LEVEL,…, such as model.kernel=3,5 or model.widths=16,16+32; may be given several times."""
    preset: str | None = None
    """A question of the field (a name in experiments/presets/, see --list), or a TOML file of your own."""
    config: Path | None = None
    """TOML or JSON file of settings that every arm shares, under the names below; they win over the preset's, and those
    on the command line over either."""
    design: Literal["grid", "one-at-a-time", "random"] | None = None
    """Every combination; or each level alone, beside the base; or a random subset of the grid."""
    sample: int | None = None
    """Arms of a random design."""
    reference: str | None = None
    """The arm that the others are compared with, by its name. Default: the preset's, else the first."""
    seeds: int | None = None
    """Seeds of every arm, 0, 1, …: paired, with the same data order. Default: the preset's, else 10."""
    max_cells: int = 1000
    """Refuse a plan of more arms × seeds than this."""
    shard: str | None = None
    """i/n: do part i of n (from 1). Default: all, or the part of Slurm's job array."""
    replicates: Literal["auto", "vmapped", "threads"] = "auto"
    """Seeds together in one program; or each on its own in one thread, as many at a time as there are processors,
    through one program (auto: that on CPUs)."""
    chunk: int = 16
    """Seeds in one program at once, to fit memory."""
    workers: int | None = None
    """Threads. Default: one per processor."""
    mesh: MeshConfig = field(default_factory=MeshConfig)
    deterministic: bool = True
    """Compile for equal bits at every run on GPUs, where steps then took 1.03 to 1.25 times as long (docs/speed.md). On
    CPUs bits are equal anyway, and it changes nothing. What XLA_FLAGS says of it goes first."""
    traced: bool = False
    """Arms that differ in learning rate, momentum, weight decay, initial scale or label smoothing only share one
    compiled program."""
    accept_versions: bool = False
    """Keep finished cells that other code or other versions of packages computed."""
    report_only: bool = False
    """Train nothing; report on what is finished."""
    out: Path | None = None
    """Directory of the results. Default: runs/ablate/NAME."""
    list: bool = False
    """Print the presets and their questions, and do nothing else."""
    quick: bool = False
    """Two seeds, two epochs, three arms: a check that everything runs, not a result."""

    def directory(self, plan: Plan) -> Path:
        return self.out or Path("runs", "ablate", plan.name + ("-quick" if self.quick else ""))


def plan_of(settings: Ablate) -> tuple[Plan, tuple[Arm, ...]]:
    """What `settings` ask for, checked as far as it can be without data."""
    require(settings.base.seed == 0, "seed", settings.base.seed, "--seeds, which says how many there are of each arm")
    plan = make_plan(preset_of(settings.preset, settings.factor), settings.factor, settings.base)
    changes = {
        key: value
        for key in ("design", "sample", "reference", "seeds")
        if (value := getattr(settings, key)) is not None
    }
    plan = replace(plan, **changes, changed=plan.changed or bool(changes) or settings.quick)
    arms = plan.arms(settings.max_cells)
    for factor in plan.factors:  # each is a column of results.csv, too
        require(factor.name not in COLUMNS, "factor", factor.name, f"another name than one of {', '.join(COLUMNS)}")
    if not settings.quick:
        return plan, arms
    return replace(plan, seeds=min(plan.seeds, QUICK_SEEDS)), quickened(arms)


def preset_of(name: str | None, factors: Sequence[str]) -> Plan | None:
    name = name or (None if factors else DEFAULT_PRESET)
    return None if name is None else read_preset(name, PRESETS)


def seeds_of(out: Path, plan: Plan, arms: tuple[Arm, ...]) -> int:
    """How many seeds the report in `out` is to cover: the plan's, or more that an earlier run of it asked for.

    Raises ValueError where `out` holds another ablation, or something else, or cannot be written.
    """
    stored, name = study.read_plan(out, "ablate"), str(out)
    if stored is None:
        return plan.seeds
    try:
        theirs, seeds = {arm["name"]: arm["hash"] for arm in stored["arms"]}, int(stored["seeds"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"out is {name!r}: its plan.json cannot be read; choose another --out") from None
    ours = {arm["name"]: arm["hash"] for arm in describe(plan, arms)["arms"]}
    if list(theirs.items()) != list(ours.items()):
        differing = next((n for n in [*ours, *theirs] if ours.get(n) != theirs.get(n)), "order")
        raise ValueError(f"out is {name!r}: holds another ablation (arm {differing!r} differs); choose another --out")
    return max(plan.seeds, seeds)


def ablate(settings: Ablate) -> int:
    """Run the ablation, or this shard of it, and write the report of all that is finished.

    Returns 0, 1 where a part of the report could not be made, 2 where nothing was asked.
    """
    if settings.list or not (settings.preset or settings.factor or settings.quick):
        questions = [[name, read_preset(name, PRESETS).question] for name in preset_names(PRESETS)]
        print(text_table([["preset", "question"], *questions]))
        print("\nchoose one with --preset, or name factors with --factor; --help tells more")
        return 0 if settings.list else 2
    plan, arms = plan_of(settings)
    require(settings.chunk >= 1, "chunk", settings.chunk, "1 or more")
    require(settings.workers is None or settings.workers >= 1, "workers", settings.workers, "1 or more")
    shard = parse_shard(settings.shard, dict(os.environ))
    if settings.replicates != "vmapped" and settings.workers != 1:
        use_threads(1)  # for each of many runs at a time: the same bits on any number of processors
    out = settings.directory(plan)
    seeds = seeds_of(out, plan, arms)
    everything = cells_of(arms, range(seeds), out)
    if not settings.accept_versions:
        check_comparable(done for cell in everything if (done := read(cell)))
    if not settings.report_only:
        mine = share(cells_of(arms, range(plan.seeds), out), shard)
        vmapped = {"auto": None, "vmapped": True, "threads": False}[settings.replicates]
        missing = [cell for cell in mine if read(cell) is None]
        how = dict(vmapped=vmapped, chunk=settings.chunk, workers=settings.workers)
        how |= dict(mesh=settings.mesh, deterministic=settings.deterministic)
        work = Work.of(missing, traced=settings.traced, **how)
        print(f"{len(missing)} of {len(mine)} cells to do; {len(arms)} arms × {plan.seeds} seeds", file=sys.stderr)
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "plan.json", describe(replace(plan, seeds=seeds), arms))
        with progress(work.epochs, "epoch") as bar:
            work.run(bar)
    text, missing = report(out, describe(replace(plan, seeds=seeds), arms), everything, settings.accept_versions)
    return study.conclude(out, text, missing)


def report(out: Path, plan: dict[str, Any], cells: list[Cell], accept_versions: bool) -> tuple[str, list[str]]:
    """Write the report of the `cells` that are finished, again if another shard finished some meanwhile.

    Returns the table, and what could not be made.
    """
    written, done = ("", []), []
    while len(found := [one for cell in cells if (one := read(cell))]) > len(done):
        done = found
        if not accept_versions:
            check_comparable(done)
        written = write_ablation(out, plan, done)
    require(bool(done), "finished cells", 0, "one or more to report on")
    return written


def defaults(args: Sequence[str]) -> Ablate:
    """With the settings of the preset."""
    preset = preset_of(given(args, "preset"), [arg for arg in args if arg.startswith("--factor")])
    base = RunConfig() if preset is None else preset.base
    return Ablate(base=run_config(args, lambda data_set, model: base))


def main(args: list[str] | None = None) -> int:
    return run_command(Ablate, ablate, args, going_on="the same command", defaults=defaults)


if __name__ == "__main__":
    sys.exit(main())
