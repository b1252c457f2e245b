"""A small ablation, as the tests of `ablate` run it."""

import csv

from convnet.experiments import ablate

BASE = ["--model.name", "linear", "--data.limit", "200", "--train.epochs", "2", "--train.batch-size", "20"]
FACTORS = ["--factor", "optim.name=sgd,nesterov", "--factor", "model.initializer=zeros,normal"]
GRID = [*BASE, *FACTORS, "--seeds", "3"]
TIMES = ("train_seconds", "compile_seconds")


def rows_of(out, *, without=TIMES):
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]


def run(*args, out):
    return ablate.main([*args, "--out", str(out)])


def row_of(out, optimizer, start, seed):
    """The row of one cell of GRID."""
    wanted = (optimizer, start, str(seed))
    (row,) = (r for r in rows_of(out) if (r["optim.name"], r["model.initializer"], r["seed"]) == wanted)
    return row


def last_line(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]
