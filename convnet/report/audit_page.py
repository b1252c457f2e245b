"""The table, the JSON and the page of `audit_gradients`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convnet.gradcheck.checks import STAGES
from convnet.gradcheck.evidence import EVIDENCE
from convnet.gradcheck.suite import Planted
from convnet.gradcheck.verdict import Report
from convnet.identity import environment
from convnet.report import Page, Part, Section, figures, study, text_table, write_report


@dataclass
class Findings:
    """Everything an audit of the library found."""

    level: str
    seconds: float = 0.0
    reports: dict[str, list[Report]] = field(default_factory=dict)
    """Op -> one report per case."""
    networks: list[Report] = field(default_factory=list)
    repeated: list[Report] = field(default_factory=list)
    """The same ops with the arguments of other seeds."""
    planted: list[Planted] = field(default_factory=list)
    errors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Op -> class of entries -> ρ against the oracle."""

    def add(self, task, result: Any) -> None:
        """Put the result of a task where it belongs."""
        if task.kind == "case":
            report, repeated = result
            self.reports.setdefault(task.name, []).append(report)
            self.repeated.extend(repeated)
        elif task.kind == "formulations":
            self.reports.setdefault(f"{task.name}, other formulations", []).extend(result)
        elif task.kind == "network":
            self.networks.append(result)
        elif task.kind == "errors":
            self.errors[task.name] = result
        else:
            self.planted.append(result)

    @property
    def audits(self) -> list[Report]:
        return [report for reports in self.reports.values() for report in reports] + self.networks + self.repeated

    @property
    def rejected(self) -> list[str]:
        """Right rules that an audit objects to: real errors of ours, or false alarms."""
        wrong = [f"{report.name} (seed {report.seed})" for report in self.audits if not report.passed]
        return wrong + [f"control: {rule.name}" for rule in self.planted if rule.kind == "control" and rule.killed_by]

    @property
    def mutants(self) -> list[Planted]:
        return [rule for rule in self.planted if rule.kind == "mutant"]

    @property
    def equivalent(self) -> list[Planted]:
        return [rule for rule in self.mutants if rule.equivalent]

    @property
    def survivors(self) -> list[Planted]:
        """Wrong rules that were believed."""
        return [rule for rule in self.mutants if rule.killed_by is None and not rule.equivalent]

    @property
    def failures(self) -> list[str]:
        falsely = [f"equivalent mutant wrongly rejected: {rule.name}" for rule in self.equivalent if rule.killed_by]
        return self.rejected + [f"mutant believed: {rule.name}" for rule in self.survivors] + falsely

    @property
    def false_alarm_audits(self) -> int:
        """Audits of right rules: ours, the controls, and the mutants that are right after all."""
        return len(self.audits) + sum(rule.audits for rule in self.planted if rule.kind == "control" or rule.equivalent)

    def worst(self, op: str, stage: str) -> float:
        """The largest error as a fraction of its bound; NaN where nothing was tested, infinite where a check failed."""
        reports = self.reports[op]
        if any(report.stages.get(stage) == "failed" for report in reports):
            return np.inf
        if not any(report.stages.get(stage) == "passed" for report in reports):
            return np.nan
        return max((report.worst(stage) or 0.0 for report in reports), default=0.0)


def table_of(findings: Findings) -> list[list[str]]:
    """Op × stage: the largest error as a fraction of its bound."""

    def cell(value: float) -> str:
        return "–" if np.isnan(value) else "FAILED" if np.isinf(value) else f"{value:.2g}"

    rows = [["op", "cases", *STAGES]]
    for op in sorted(findings.reports):
        cells = [cell(findings.worst(op, stage)) for stage in STAGES]
        rows.append([op, str(len(findings.reports[op])), *cells])
    return rows


def verdict_of(findings: Findings) -> list[str]:
    """The sentences that count."""
    ops = findings.reports.keys() & EVIDENCE.keys()
    lines = [
        f"{len(ops)} ops and {len(findings.networks)} networks: {len(findings.audits)} audits of "
        f"library rules, {findings.false_alarm_audits} of right rules in all, {len(findings.rejected)} wrongly rejected"
    ]
    if findings.mutants:
        wrong = len(findings.mutants) - len(findings.equivalent)
        lines.append(
            f"planted wrong rules: {wrong - len(findings.survivors)} of {wrong} noticed; "
            f"{len(findings.equivalent)} planted rules are equivalent to the right one"
        )
    alone = sum(sum(report.seconds.values()) for reports in findings.reports.values() for report in reports)
    lines.append(f"{findings.seconds:.0f} s in all; ops at level {findings.level}: {alone:.0f} s of one process")
    return lines + [f"FAILED: {text}" for text in findings.failures]


def account_of(findings: Findings) -> str:
    """All of it for a terminal: the table, the audits that failed, the sentences."""
    failed = [f"{report}\n" for report in findings.audits if not report.passed]
    legend = "\nworst error as a fraction of its bound; – means not tested\n"
    return "\n".join([text_table(table_of(findings)), legend, *failed, *verdict_of(findings)])


def kills_table(findings: Findings) -> list[list[str]]:
    """Op × stage: how many planted rules the stage was the first to notice."""
    kills = Counter((rule.op, rule.killed_by.split(", ")[0]) for rule in findings.mutants if rule.killed_by)
    stages = [stage for stage in STAGES if any(place[1] == stage for place in kills)]
    rows = [["op", "planted", *stages, "believed", "equivalent"]]
    for op in sorted({rule.op for rule in findings.mutants}):
        here = [rule for rule in findings.mutants if rule.op == op]
        counts = [str(kills[op, stage] or "") for stage in stages]
        believed = sum(rule in findings.survivors for rule in here)
        rows.append([op, str(len(here)), *counts, str(believed), str(sum(rule.equivalent for rule in here))])
    return rows


def planted_table(findings: Findings) -> list[list[str]]:
    """Every planted rule and what noticed it."""
    rows = [["rule", "kind", "op", "noticed by", "seconds"]]
    for rule in sorted(findings.planted, key=lambda rule: (rule.kind, rule.op, rule.name)):
        kind = "equivalent mutant" if rule.equivalent else rule.kind
        rows.append([rule.name, kind, rule.op, rule.killed_by or "nothing", f"{rule.seconds:.1f}"])
    return rows


def network_table(findings: Findings) -> list[list[str]]:
    rows = [["network", "call or parameter", "error (ulps)", "bound", "verdict"]]
    for report in sorted(findings.networks, key=lambda report: report.name):
        for check in report.checks:
            rows.append([report.name, check.name, f"{check.error or 0:.2g}", f"{check.bound or 0:.2g}", check.status])
    return rows


def write_audit(out: Path, findings: Findings) -> list[str]:
    """`audit.json` and `report.html` in `out`. Returns a line for each part that could not be drawn."""
    where = environment()
    values = dict(
        level=findings.level,
        seconds=findings.seconds,
        verdict=verdict_of(findings),
        audits_of_right_rules=findings.false_alarm_audits,
        condemned=findings.rejected,
        survivors=[rule.name for rule in findings.survivors],
        planted=[asdict(rule) | {"equivalent": rule.equivalent} for rule in findings.planted],
        ops={op: [report.to_dict() for report in reports] for op, reports in sorted(findings.reports.items())},
        networks=[report.to_dict() for report in findings.networks],
        repeated=[dict(name=report.name, seed=report.seed, passed=report.passed) for report in findings.repeated],
    )
    study.write_results(out, "audit.json", values, where)
    return write_report(out / "report.html", *audit_page(findings, study.circumstances(where)))


def audit_page(findings: Findings, circumstances: dict[str, str]) -> Page:
    parts: list[Section | Part] = [Part("Ops and stages", lambda: _ops_and_stages(findings))]
    if findings.networks:
        text = "Each call of an op, on the numbers it meets in the network, and each parameter."
        parts.append(Section("Networks", text, table=network_table(findings)))
    if findings.errors:
        parts.append(Part("Errors by place", lambda: _errors_by_place(findings)))
    if findings.planted:
        text = "How many wrong rules each stage was the first to notice."
        parts.append(Section("Planted faults", text, table=kills_table(findings)))
        parts.append(Section("Every planted rule", table=planted_table(findings)))
    facts = {"verdict": ". ".join(verdict_of(findings)), **circumstances}
    return Page("Audit of the hand-derived gradients", facts, parts)


def _ops_and_stages(findings: Findings) -> Section:
    ops = sorted(findings.reports)
    values = np.array([[findings.worst(op, stage) for stage in STAGES] for op in ops])
    values = np.where(np.isinf(values), 10.0, values)
    return Section.of(
        "Ops and stages",
        figures.heat_map(values, ops, list(STAGES), "worst error / bound", failed=1.0),
        f"The worst error of {len(ops)} ops in each stage of the audit, as a fraction of its bound.",
        "The largest error that a stage found over all cases of an op, as a fraction of what it allows. "
        "Grey was not tested, red failed. docs/gradients.md says what each stage proves.",
    )


def _errors_by_place(findings: Findings) -> Section:
    errors = {op: findings.errors[op] for op in sorted(findings.errors)}
    return Section.of(
        "Errors by place",
        figures.distributions(errors, "ρ: error of an entry in ulps of its conditioning, float64"),
        f"How the errors of the entries of {len(errors)} gradients are distributed, by their place in the array.",
        "Against the oracles, all cases, five draws each. A rule that is wrong at the border only shows as a "
        "line of its own.",
    )
