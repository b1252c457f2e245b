"""The page of one claim or of all, and the document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convnet.claims.finding import RULE, Finding
from convnet.claims.stored import Answer
from convnet.record import write_atomically
from convnet.report import Page, Section, study
from convnet.report.markdown import anchor, markdown_table
from convnet.report.page import slugs

QUICK = "quick: small sizes and few seeds, to see whether everything runs; not a result"
COMMAND = "experiments/claims/{}.py"


def claims_page(answers: Sequence[Answer], missing: Sequence[Section] = ()) -> Page:
    """All `answers`, a summary first where there are several. missing: what is said of claims without one."""
    title = answers[0].claim.title if len(answers) == 1 else "What the textbooks claim, measured"
    facts = _circumstances(answers) | {"measuring": f"{sum(a.seconds for a in answers):.0f} s"}
    if any(answer.made_by["quick"] for answer in answers):
        facts["effort"] = QUICK
    summary = [_summary(answers)] if len(answers) > 1 else []
    sections = [section for answer in answers for section in _sections(answer)]
    return Page(title, facts, [*summary, *sections, *missing])


def _circumstances(answers: Sequence[Answer]) -> dict[str, str]:
    """All machines, versions and dates, as answers may be older; the command is the last one's."""
    each = [study.circumstances(answer.where) for answer in answers]
    return {name: "; ".join(dict.fromkeys(sorted(one[name] for one in each))) for name in each[0]} | {
        "command": each[-1]["command"]
    }


def _summary(answers: Sequence[Answer]) -> Section:
    rows = [[f"{a.claim.number}. {a.claim.title}", a.verdict, _first(a), f"{a.seconds:.0f} s"] for a in answers]
    return Section("Verdicts", RULE, table=[["claim", "verdict", "measured first", "time"], *rows])


def _first(answer: Answer) -> str:
    return str(answer.evidence.findings[0].measured)


def _sections(answer: Answer) -> list[Section]:
    claim, evidence = answer.claim, answer.evidence
    text = f"{claim.says} Source: {claim.source}. Verdict: {answer.verdict}. {evidence.text}".rstrip()
    title = f"{claim.number}. {claim.title}"
    return [Section(title, text, table=findings_table(answer), pictures=evidence.pictures), *evidence.tables]


def findings_table(answer: Answer) -> list[list[str]]:
    """A row for each finding, below the headings."""
    return [["finding", "measured (95 %)", "bound", "outcome"], *map(_row, answer.evidence.findings)]


def _row(finding: Finding) -> list[str]:
    kind = " (condition)" if finding.condition else ""
    return [finding.statement + kind, str(finding.measured), finding.bound, finding.outcome]


def write_document(path: Path, answers: Sequence[Answer], files: Sequence[str]) -> None:
    """`path` in Markdown, for reading where the code is: each claim with its verdict, findings and first picture, which
    is written to a folder beside it that has the document's name; pictures of earlier ones are removed from there.

    files: the names of the claims' files.
    """
    where = _circumstances(answers)
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    old = set(folder.glob("[0-9][0-9]-*.png"))
    lines = [
        "# What the textbooks claim, measured", "",
        f"`make claims` measures all of it and writes this file. {where['machine']}; {where['versions']}; "
        f"{where['date']}.", "",
        RULE, "",
        markdown_table([["claim", "verdict"], *([_link(a), a.verdict] for a in answers)], right=False), "",
    ]  # fmt: skip
    for answer, file in zip(answers, files, strict=True):
        claim, picture = answer.claim, answer.evidence.pictures[0]
        name = picture_name(claim.number, claim.title)
        write_atomically(folder / name, picture.figure)
        old.discard(folder / name)
        lines += [
            f"## {_heading(answer)}", "",
            f"{claim.says} Source: {claim.source}.", "",
            f"**{answer.verdict.capitalize()}.** {answer.evidence.text}".rstrip(), "",
            markdown_table(findings_table(answer), right=False), "",
            f"![{picture.alt}]({folder.name}/{name})", "",
            *([picture.caption, ""] if picture.caption else []),
            f"`python {COMMAND.format(file)}` ({answer.seconds:.0f} s)", "",
        ]  # fmt: skip
    write_atomically(path, "\n".join(lines))
    for picture in old:  # of a claim that has another title now
        picture.unlink()


def picture_name(number: int, title: str) -> str:
    """Of a claim's picture in the folder of the document."""
    return f"{number:02d}-{slugs([title])[0]}.png"


def _heading(answer: Answer) -> str:
    return f"{answer.claim.number}. {answer.claim.title}"


def _link(answer: Answer) -> str:
    return f"[{_heading(answer)}](#{anchor(_heading(answer))})"
