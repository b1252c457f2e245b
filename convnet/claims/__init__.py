"""What textbooks claim of convolutional networks, put to the test: findings, the rule that decides, and the page."""

from convnet.claims.command import run_claim
from convnet.claims.estimate import Estimate, counted, exact, mean_of
from convnet.claims.finding import RULE, VERDICTS, Claim, Effort, Evidence, Finding, Measure, verdict

__all__ = [
    "RULE",
    "VERDICTS",
    "Claim",
    "Effort",
    "Estimate",
    "Evidence",
    "Finding",
    "Measure",
    "counted",
    "exact",
    "mean_of",
    "run_claim",
    "verdict",
]
