"""What textbooks claim of convolutional networks, put to the test: findings, the rule that decides, and the page."""

from convnet.claims.command import run_claim
from convnet.claims.descent import descend
from convnet.claims.estimate import Estimate, apart, counted, exact, mean_of
from convnet.claims.finding import (
    RULE,
    VERDICTS,
    Claim,
    Effort,
    Evidence,
    Finding,
    Measure,
    at_least,
    at_most,
    verdict,
    within,
)
from convnet.claims.networks import curve, networks, recipe

__all__ = [
    "RULE",
    "VERDICTS",
    "Claim",
    "Effort",
    "Estimate",
    "Evidence",
    "Finding",
    "Measure",
    "apart",
    "at_least",
    "at_most",
    "counted",
    "curve",
    "descend",
    "exact",
    "mean_of",
    "networks",
    "recipe",
    "run_claim",
    "verdict",
    "within",
]
