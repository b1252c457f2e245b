"""Small claims made by hand, all of whose numbers differ."""

import numpy as np
from matplotlib.figure import Figure

from convnet.claims import Claim, Evidence, Finding, counted, exact, mean_of
from convnet.claims.stored import Answer
from convnet.report import Picture, Section, png
from tests.report.handmade import WHERE

CLAIM = Claim(3, "Water is wet", "Water, where it is liquid, is wet.", "Thales, Miletus 585 BC")
OTHER = Claim(11, "Fire: hot, or not", "Fire is hot.", "Heraclitus, Ephesus 500 BC")
MADE_BY = {"code": "abc", "quick": False, "seeds": None}


def figure(height=1.0):
    """A bar."""
    made = Figure(figsize=(2, 1), layout="constrained")
    made.subplots().bar([0], [height])
    return made


def picture(key="a bar", height=1.0):
    return Picture(key, figure(height), f"a bar of height {height:g}", f"Height: {height:g}.")


def evidence(height=1.0):
    return Evidence(
        findings=[
            Finding("it is wet: share of hands", counted(39, 40, "hands"), least=0.5),
            Finding("|error| of the weight", exact(2e-13), most=1e-12),
            Finding("cold, too", mean_of([1.0, 2.0, 3.0]), least=0, most=1.5, condition=True),
        ],
        pictures=[picture("the first bar", height), Picture("images", figure(7), "a photograph", of_images=True)],
        tables=[Section("Hands", "All of them.", [["hand", "wet"], ["left", "yes"]], "By name.")],
        text="Look at the bar.",
    )


def nothing_decided():
    return Evidence([Finding("as hot everywhere", mean_of([5, 5, 5]), least=4)], [picture("a flame", 4.0)])


def drawn(evidence):
    """The same with PNGs for figures, as answers have them."""
    pictures = [Picture(p.key, png(p.figure), p.alt, p.caption, p.of_images) for p in evidence.pictures]
    return Evidence(evidence.findings, pictures, evidence.tables, evidence.text)


def answers():
    later = WHERE | {"started": "2026-03-05T00:00:00+00:00", "command": "experiments/claims.py"}
    return [
        Answer(CLAIM, drawn(evidence()), 12.4, MADE_BY, WHERE),
        Answer(OTHER, drawn(nothing_decided()), 0.6, MADE_BY, later),
    ]


def numbers(findings):
    """Statement -> all its numbers, NaN as None."""
    return {
        f.statement: [None if np.isnan(v) else v for v in f.measured[:3]]
        + [f.measured.n, f.measured.of, f.least, f.most, f.condition]
        for f in findings
    }
