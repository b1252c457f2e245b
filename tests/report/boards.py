"""Boards made by hand, all of whose numbers differ."""

from dataclasses import asdict

from convnet.board.board import Board
from convnet.board.verdict import Finding
from tests.report.handmade import WHERE

ALL = ["reverse", "forward", "vmap", "scan", "eager"]


def finding(function="jax.numpy.prod", kind="special points", args=(0.0, 2.5), got="nan", **changes):
    """As a board holds it; a defect has a witness unless `confirmed` says otherwise."""
    call = changes.pop("call", f"{function}(x, y)")
    usual = {
        "label": "zero", "dtype": "float64", "order": 1, "ways": ALL, "entry": 0, "of": "x", "truth": "2.5",
        "reproduction": f"import jax\nprint({call})",
    }  # fmt: skip
    usual["confirmed"] = [] if kind in ("digits", "convention") else ["differences of its own values"]
    return asdict(Finding(kind=kind, function=function, call=call, args=list(args), got=got, **(usual | changes)))


def row(function, *findings, referee="passed", stages="", points=3, compared=20):
    """Of the call that all `findings` are of."""
    call = findings[0]["call"] if findings else f"{function}(x, y)"
    outcome = {
        "function": function, "call": call, "points": points, "compared": compared, "findings": list(findings),
        "missing": {}, "unknown": [], "seconds": 0.5,
    }  # fmt: skip
    judge = {"verdict": referee, "said": stages, "seconds": 0.25}
    return {
        "function": function, "call": call, "key": f"{call}, in x", "status": "judged", "said": "", "outcome": outcome,
        "referee": judge, "peak": 1024, "seconds": 0.75,
    }  # fmt: skip


def refused(function, status="refused", said="TypeError: no"):
    return row(function) | {"status": status, "said": said, "outcome": None, "referee": None}


def board(*rows, version="0.10.1", seconds=61.4, **inventory):
    where = {**WHERE, "packages": {"jax": version, "optax": "0.2.6"}}
    found = {"covered": [], "left_out": {}, "missing": [], "gone": []} | inventory
    return Board(where, found, {"only": [], "audits": True}, seconds, list(rows))


PROD = finding()
ERF = "jax.scipy.special.erf"
"""Of the rows below: a defect at two points, one of them in two dtypes; one in second order; digits, a convention."""
ROWS = (
    row("jax.numpy.prod",
        PROD,
        finding(dtype="float32", got=0.25, ways=["vmap"], truth="2.5"),
        finding(args=(0.0, -3.5), got=7.5, truth="-3.5", confirmed=["differences of SciPy's values"]),
        finding(args=(9.0, 1.0), kind="wrong", got=1.5, confirmed=[]), referee="failed", stages="taylor, power"),
    row(ERF,
        finding(ERF, "higher order", (0.125,), -0.5, order=2, ways=["forward over reverse"], direction=0, truth="0.75"),
        finding(ERF, "digits", (27.0,), 1.25e-300, truth="1.26e-300", label="tail", ulps=4321.0),
        points=5, compared=70),
    row("jax.nn.relu",
        finding("jax.nn.relu", "convention", (0.0,), 0.0, truth="", left="0.0", right="1.0", call="jax.nn.relu(x)"),
        points=2, compared=30),
    refused("jax.lax.sort"),
    refused("jax.numpy.linalg.svd", "out of time", "ended after 120 s"),
)  # fmt: skip
