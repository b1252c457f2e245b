"""What was found of a claim, on disk: `claim.json` and its figures, which the page of all claims is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convnet.claims.estimate import Estimate
from convnet.claims.finding import Claim, Evidence, Finding, verdict
from convnet.identity import environment
from convnet.record import write_atomically, write_json
from convnet.report import Picture, Section, png
from convnet.report.page import slugs

FILE = "claim.json"


@dataclass(frozen=True)
class Answer:
    """A claim with its evidence. seconds: what measuring took. made_by: what it depends on: the digest of the code, and
    the effort. where: the machine, the versions, the date and the command."""

    claim: Claim
    evidence: Evidence
    seconds: float
    made_by: Mapping[str, Any]
    where: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        return verdict(self.evidence.findings)


def save(out: Path, claim: Claim, evidence: Evidence, seconds: float, made_by: Mapping[str, Any]) -> Answer:
    """Write it to the directory `out`, `claim.json` last: what was interrupted is as if it had never begun.

    Returns what `read` would, so that a page is the same whether its claims were measured now or earlier.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = slugs(picture.key for picture in evidence.pictures)
    (out / "figures").mkdir(exist_ok=True)
    for name, picture in zip(names, evidence.pictures, strict=True):
        write_atomically(out / "figures" / f"{name}.png", png(picture.figure))
    pictures = [
        {"key": p.key, "file": f"figures/{name}.png", "alt": p.alt, "caption": p.caption, "of_images": p.of_images}
        for name, p in zip(names, evidence.pictures, strict=True)
    ]
    findings = [asdict(f) | {"measured": f.measured._asdict(), "outcome": f.outcome} for f in evidence.findings]
    tables = [{"title": t.title, "text": t.text, "table": t.table, "caption": t.caption} for t in evidence.tables]
    values = {
        "claim": asdict(claim), "verdict": verdict(evidence.findings), "findings": findings, "pictures": pictures,
        "tables": tables, "text": evidence.text, "seconds": seconds, "made_by": dict(made_by), "where": environment(),
    }  # fmt: skip
    write_json(out / FILE, values)
    return _answer(out, values)


def read(out: Path, made_by: Mapping[str, Any]) -> Answer | None:
    """What is stored in `out`, if the same code made it with the same effort, and all of it is there."""
    try:
        values = json.loads((out / FILE).read_text(encoding="utf-8"))
        return _answer(out, values) if values["made_by"] == made_by else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _answer(out: Path, values: Mapping[str, Any]) -> Answer:
    findings = [
        Finding(**{k: v for k, v in f.items() if k != "outcome"} | {"measured": Estimate(**f["measured"])})
        for f in values["findings"]
    ]
    pictures = [
        Picture(**{k: v for k, v in p.items() if k != "file"}, figure=(out / p["file"]).read_bytes())
        for p in values["pictures"]
    ]
    tables = [Section(**table) for table in values["tables"]]
    evidence = Evidence(findings, pictures, tables, values["text"])
    return Answer(Claim(**values["claim"]), evidence, values["seconds"], values["made_by"], values["where"])
