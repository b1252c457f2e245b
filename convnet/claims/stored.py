"""What was found of a claim, on disk: `claim.json` and its figures, which the page of all claims is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
    """Write it to the directory `out`, `claim.json` last, which knows its figures by their digests: what is interrupted
    leaves nothing that `read` takes for whole.

    Returns what `read` would, so that a page is the same whether its claims were measured now or earlier.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = slugs(picture.key for picture in evidence.pictures)
    (out / "figures").mkdir(exist_ok=True)
    pictures = []
    for name, p in zip(names, evidence.pictures, strict=True):
        image = p.figure if isinstance(p.figure, bytes) else png(p.figure)
        file = f"figures/{name}.png"
        write_atomically(out / file, image)
        shown = {"key": p.key, "alt": p.alt, "caption": p.caption, "of_images": p.of_images}
        pictures.append(shown | {"file": file, "sha256": hashlib.sha256(image).hexdigest()})
    values = described(Answer(claim, evidence, seconds, made_by, environment())) | {"pictures": pictures}
    write_json(out / FILE, values)
    return _answer(out, values)


def described(answer: Answer) -> dict[str, Any]:
    """An answer as JSON has it, without its pictures."""
    evidence = answer.evidence
    findings = [asdict(f) | {"measured": f.measured._asdict(), "outcome": f.outcome} for f in evidence.findings]
    tables = [{"title": t.title, "text": t.text, "table": t.table, "caption": t.caption} for t in evidence.tables]
    return {
        "claim": asdict(answer.claim), "verdict": answer.verdict, "findings": findings, "tables": tables,
        "text": evidence.text, "seconds": answer.seconds, "made_by": dict(answer.made_by), "where": dict(answer.where),
    }  # fmt: skip


def read(out: Path, made_by: Mapping[str, Any]) -> Answer | None:
    """What is stored in `out`, if the same code made it with the same effort, and all of it is there as it was made."""
    try:
        values = json.loads((out / FILE).read_text(encoding="utf-8"))
        return _answer(out, values) if values["made_by"] == made_by else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _answer(out: Path, values: Mapping[str, Any]) -> Answer:
    return restored(values, [_picture(out, **picture) for picture in values["pictures"]])


def restored(values: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> Answer:
    """The answer that `described` had these values of. pictures: the settings of each `Picture`."""
    findings = [
        Finding(**{k: v for k, v in f.items() if k != "outcome"} | {"measured": Estimate(**f["measured"])})
        for f in values["findings"]
    ]
    tables = [Section(**table) for table in values["tables"]]
    evidence = Evidence(findings, [Picture(**picture) for picture in pictures], tables, values["text"])
    return Answer(Claim(**values["claim"]), evidence, values["seconds"], values["made_by"], values["where"])


def _picture(out: Path, file: str, sha256: str, **shown: Any) -> dict[str, Any]:
    image = (out / file).read_bytes()
    if hashlib.sha256(image).hexdigest() != sha256:
        raise ValueError(f"{out / file} is not the figure that was made with {FILE}")
    return shown | {"figure": image}
