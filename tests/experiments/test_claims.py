"""The claims, each of which runs, and the command of all: what it measures, keeps, writes and refuses."""

import ast
import hashlib
import json
import math
import re
import shutil
from pathlib import Path

import jax
import pytest
from convnet.experiments import claims

from convnet.claims import VERDICTS, command, run_claim
from convnet.claims.command import made_by
from convnet.claims.finding import Effort
from convnet.claims.stored import read
from convnet.code import import_closure, script_hash

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "experiments" / "claims").glob("*.py"))

USUAL = (
    *("convolution_is_a_dense_layer", "convolution_is_flipped_cross_correlation", "convolutions_follow_shifts"),
    *("dense_layers_need_a_weight_per_pixel", "backpropagation_multiplies_local_gradients", "filters_make_maps"),
)
"""Claims that are measured in every run: those done in a few seconds, as they train little or nothing. All of them are
with `-m sweep`, and `make claims` measures them in full."""


# --- the claims -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    """File name -> the module."""
    return {Path(module.__file__).stem: module for module in claims.modules().values()}


def test_there_are_claims_and_each_has_a_number_of_its_own(published):
    assert sorted(published) == [path.stem for path in FILES]
    numbers = [module.CLAIM.number for module in published.values()]
    assert numbers == sorted(set(numbers))
    assert min(numbers) >= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_claim_says_what_it_asks_and_how_it_is_measured(path, published):
    text, claim = published[path.stem].__doc__, published[path.stem].CLAIM
    assert text.split("\n\n")[0].endswith("?")
    assert re.search(rf"^    python experiments/claims/{path.name} +\S", text, re.MULTILINE)
    assert "TODO" not in path.read_text(encoding="utf-8")
    assert claim.title
    assert claim.says.endswith(".")
    assert re.search(r"\b(1[89]|20)\d\d\b", claim.source), "no year"
    assert not claim.source.endswith(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_claim_imports_no_other_and_its_digest_covers_what_it_computes_with(path):
    """What is stored is measured anew where code has changed: an op that is reached by the package's own name, too."""
    imported = [
        name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                     [node.module] if isinstance(node, ast.ImportFrom) else [])
    ]  # fmt: skip
    assert not [name for name in imported if name.startswith(("experiments", "convnet.experiments"))]
    covered = {p.name for p in import_closure(ROOT / "convnet", [name for name in imported if "." in name])}
    assert covered >= {"conv.py", "stored.py", "finding.py"}


def test_what_is_measured_in_every_run_exists():
    assert {path.stem for path in FILES} > set(USUAL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=() if p.stem in USUAL else pytest.mark.sweep) for p in FILES]
)
def test_a_claim_runs_quickly(path, published, tmp_path, capsys):
    module, out = published[path.stem], tmp_path / "out"
    with jax.numpy_rank_promotion("allow"):  # as users run it
        code = run_claim(str(path), module.CLAIM, module.measure, ["--quick", "--out", str(out)])
    printed, told = capsys.readouterr()
    if code == 2 and "TFDS_DATA_DIR" in told:
        assert told.count("\n") == 1
        pytest.skip(told.strip())
    assert code == 0, told
    found = read(out, made_by(path, Effort(quick=True)))
    assert found.claim == module.CLAIM
    assert printed.startswith(f"{found.claim.number}. {found.claim.title}: {found.verdict}\n")
    assert found.verdict in VERDICTS
    for finding in found.evidence.findings:
        value, low, high, n, of = finding.measured
        assert math.isfinite(value), finding
        assert (low <= value <= high) if not of else math.isnan(low) or low <= value <= high, finding
        assert (n >= 1) == bool(of), finding
        assert f"{finding.measured}" in printed
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(found.evidence.pictures) >= 1
    assert f"Verdict: {found.verdict}." in page
    for picture in found.evidence.pictures:
        assert len(picture.alt) > 20, "an alternative text for those who do not see the picture"


# --- the command of all, of claims made here --------------------------------------------------------------------------

CLAIM = '''
"""Is it so?"""
import sys
from dataclasses import dataclass
from pathlib import Path
from matplotlib.figure import Figure
from convnet.claims import Claim, Evidence, Finding, exact, run_claim
from convnet.report import Picture

CLAIM = Claim(number={number}, title="Claim {number}", says="So it is.", source="Somebody, 1999")

@dataclass
class Measured:
    value: "float"

def measure(effort):
    with Path({log!r}).open("a") as file:
        print({number}, effort.quick, effort.seeds, file=file)
    {body}
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, {number}])
    value = Measured({number} + 0.5).value
    return Evidence([Finding("a number", exact(value), most={most})], [Picture("a line", figure, "a line that rises")])

if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
'''


class Folder:
    """Claims 2, 5 and 9, of which 5 does not hold; and what was measured, in order."""

    def __init__(self, path, log):
        self.path, self.log = path, log
        path.mkdir()
        for number in (9, 2, 5):
            self.write(number)

    def write(self, number, body="", name=None):
        text = CLAIM.format(number=number, log=str(self.log), body=body or "pass", most=3 if number == 5 else 100)
        (self.path / f"{name or f'claim_{number}'}.py").write_text(text, encoding="utf-8")

    def measured(self):
        """Since it was asked last: (number, quick, seeds)."""
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [tuple(line.split()) for line in lines]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = Folder(tmp_path / "claims", tmp_path / "log")
    monkeypatch.setattr(claims, "FOLDER", made.path)
    # What the library's own files have to do with it is tested below; here they do not change.
    monkeypatch.setattr(command, "script_hash", lambda file: hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.chdir(tmp_path)
    return made


MEASURED = [("2", "False", "None"), ("5", "False", "None"), ("9", "False", "None")]


def test_all_are_measured_in_order_shown_and_kept(folder, tmp_path, capsys):
    assert claims.main([]) == 0
    out = tmp_path / "runs" / "claims"
    assert folder.measured() == MEASURED
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()[2:5]] == [
        ["2.", "Claim", "2", "holds", "0", "s"],
        ["5.", "Claim", "5", "does", "not", "hold", "here", "0", "s"],
        ["9.", "Claim", "9", "holds", "0", "s"],
    ]
    assert printed.endswith("report: runs/claims/report.html\n")
    page = (out / "report.html").read_text()
    assert page.index("<h2>Verdicts") < page.index("<h2>2. Claim 2") < page.index("<h2>9. Claim 9")
    assert page.count("data:image/png;base64,") == 3
    values = json.loads((out / "claim_5" / "claim.json").read_text())
    assert (values["verdict"], values["findings"][0]["measured"]["value"]) == ("does not hold here", 5.5)


def test_what_is_measured_is_not_measured_again(folder, tmp_path, capsys):
    assert claims.main([]) == 0
    first = (tmp_path / "runs" / "claims" / "report.html").read_text()
    folder.measured()
    printed = capsys.readouterr().out
    assert claims.main([]) == 0
    assert folder.measured() == []
    assert capsys.readouterr().out == printed
    assert (tmp_path / "runs" / "claims" / "report.html").read_text() == first
    folder.write(5, body="value = 1")
    assert claims.main([]) == 0
    assert folder.measured() == [("5", "False", "None")]
    assert claims.main(["--seeds", "3"]) == 0
    assert folder.measured() == [(number, "False", "3") for number in "259"]


def test_some_are_measured_by_number(folder, tmp_path, capsys):
    assert claims.main(["--only", "9", "2", "9"]) == 0
    assert folder.measured() == [("2", "False", "None"), ("9", "False", "None")]
    assert "Claim 5" not in (tmp_path / "runs" / "claims" / "report.html").read_text()
    assert claims.main([]) == 0
    assert folder.measured() == [("5", "False", "None")]


def test_one_alone_has_a_page_of_its_own(folder, tmp_path):
    assert claims.main(["--only", "5"]) == 0
    page = (tmp_path / "runs" / "claims" / "report.html").read_text()
    assert "<title>Claim 5" in page
    assert "<h2>Verdicts" not in page


def test_quick_ones_have_a_place_of_their_own(folder, tmp_path, capsys):
    assert claims.main(["--quick"]) == 0
    assert folder.measured() == [(number, "True", "None") for number in "259"]
    assert (tmp_path / "runs" / "claims-quick" / "report.html").exists()
    assert claims.main(["--out", "runs/claims-quick"]) == 2
    assert "holds results of other settings: quick (True there, False here)" in capsys.readouterr().err
    assert folder.measured() == []


def test_what_one_claims_own_command_measured_is_taken(folder, tmp_path, capsys):
    """And the other way round: its directory is in that of all."""
    path = folder.path / "claim_5.py"
    module = claims.modules()[5]
    assert run_claim(str(path), module.CLAIM, module.measure, []) == 0
    assert folder.measured() == [("5", "False", "None")]
    assert claims.main([]) == 0
    assert folder.measured() == [("2", "False", "None"), ("9", "False", "None")]
    assert run_claim(str(path), module.CLAIM, module.measure, []) == 0
    assert folder.measured() == [("5", "False", "None")]
    assert run_claim(str(path), module.CLAIM, module.measure, ["--quick"]) == 0
    assert claims.main(["--quick"]) == 0
    assert folder.measured() == [(number, "True", "None") for number in "529"]


def test_the_list(folder, capsys):
    assert claims.main(["--list"]) == 0
    assert folder.measured() == []
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["2", "Claim", "2"], ["5", "Claim", "5"], ["9", "Claim", "9"],
    ]  # fmt: skip
    assert not Path("runs").exists()


REFUSED = {
    "an unknown number": (["--only", "2", "3"], "only is 3: expected some of 2, 5, 9"),
    "a document of some": (["--only", "2", "--document", "d.md"], "document is 'd.md': expected no --only"),
    "a document of other seeds": (["--seeds", "3", "--document", "d.md"], "--only, --quick or --seeds beside it"),
    "results alone": (["--results", "r.json"], "results is 'r.json': expected --document beside it"),
    "again out of nothing": (["--again", "--document", "d.md"], "again is True: expected --document and --results"),
    "results that are not there": (["--again", "--document", "d.md", "--results", "r.json"], "r.json cannot be read"),
    "results where nothing can be written": (["--document", "d.md", "--results", "log/r.json"], "cannot be written"),
    "a quick document": (["--quick", "--document", "d.md"], "document is 'd.md': expected no --only"),
    "one seed": (["--seeds", "1"], "seeds is 1: expected 2 or more, as one has no interval"),
    "a directory of something else": (["--out", "claims"], "claim_2.py, claim_5.py, "),
    "a document where nothing can be written": (["--document", "log/d.md"], "cannot be written"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_before_anything_is_measured(folder, what, capsys):
    args, said = REFUSED[what]
    folder.log.write_text("")
    assert claims.main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert folder.measured() == []
    assert not list(Path.cwd().rglob("claim.json"))


def test_two_claims_of_one_number_are_refused(folder, capsys):
    folder.write(5, name="once_more")
    assert claims.main(["--list"]) == 2
    assert "number of once_more.py is 5: expected one that no other claim has" in capsys.readouterr().err


# --- one that fails ---------------------------------------------------------------------------------------------------

ERRORS = {
    "raise ValueError('mnist is not prepared')": "mnist is not prepared",
    "raise OSError('no room')": "no room",
    "raise MemoryError('too large')": "MemoryError: too large",
    "raise KeyError('x')": "KeyError: 'x'",
    "raise __import__('jax').errors.JaxRuntimeError('RESOURCE_EXHAUSTED')": "JaxRuntimeError: RESOURCE_EXHAUSTED",
    "return Evidence([], [])": "findings is []: expected one that is no condition",
}


@pytest.mark.parametrize("body", ERRORS, ids=ERRORS.values())
def test_one_that_fails_costs_no_other(folder, body, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("CONVNET_TRACEBACK", raising=False)
    folder.write(5, body)
    assert claims.main(["--document", "d.md"]) == 1
    assert folder.measured() == MEASURED
    printed, told = capsys.readouterr()
    assert f"5. Claim 5: could not be measured ({ERRORS[body]})\n" in told
    assert "d.md is not written: it is of all claims\n" in told
    assert not Path("d.md").exists()
    assert "9. Claim 9" in printed
    page = (tmp_path / "runs" / "claims" / "report.html").read_text()
    assert "<h2>5. Claim 5" in page
    assert "could not be measured" in page
    assert page.count("data:image/png;base64,") == 2
    folder.write(5)
    assert claims.main(["--document", "d.md"]) == 0
    assert folder.measured() == [("5", "False", "None")]
    assert "## 5. Claim 5" in Path("d.md").read_text()


def test_a_failure_of_all_leaves_no_page(folder, capsys):
    for number in (2, 5, 9):
        folder.write(number, "raise ValueError('no data')")
    assert claims.main([]) == 1
    printed, told = capsys.readouterr()
    assert printed == ""
    assert told.count("could not be measured (no data)") == 3
    assert not Path("runs/claims/report.html").exists()


def test_a_failure_with_its_traceback(folder, monkeypatch):
    monkeypatch.setenv("CONVNET_TRACEBACK", "1")
    folder.write(5, "raise KeyError('x')")
    with pytest.raises(KeyError, match="x"):
        claims.main([])


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted; the same command goes on from what is saved"),
        ("from convnet.journal import Stopped; raise Stopped(1, 2, saved=True, signal=15)", 143,
         "stopped after epoch 1 of 2, saved; the same command goes on from there"),
    ],
    ids=["interrupted", "asked to end"],
)  # fmt: skip
def test_an_end_keeps_what_is_measured(folder, body, code, said, capsys):
    folder.write(5, body)
    assert claims.main([]) == code
    assert said in capsys.readouterr().err
    assert folder.measured() == MEASURED[:2]
    folder.write(5)
    assert claims.main([]) == 0
    assert folder.measured() == MEASURED[1:]


def test_the_document_is_of_all(folder):
    Path("docs").mkdir()
    assert claims.main(["--document", "docs/claims.md"]) == 0
    text = Path("docs/claims.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["2. Claim 2", "5. Claim 5", "9. Claim 9"]
    assert re.findall(r"`python (\S+)`", text) == [f"experiments/claims/claim_{number}.py" for number in (2, 5, 9)]
    for target in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert Path("docs", target).read_bytes().startswith(b"\x89PNG")


def test_the_document_is_written_again_from_its_results(folder, capsys):
    args = ["--document", "docs/claims.md", "--results", "docs/results/claims.json"]
    Path("docs/results").mkdir(parents=True)
    assert claims.main(args) == 0
    text = Path("docs/claims.md").read_text(encoding="utf-8")
    pictures = {path: path.read_bytes() for path in Path("docs/claims").iterdir()}
    assert len(pictures) == 3
    shutil.rmtree("runs")
    Path("docs/claims.md").unlink()
    folder.measured()
    assert claims.main([*args, "--again"]) == 0
    assert folder.measured() == []
    assert Path("docs/claims.md").read_text(encoding="utf-8") == text
    assert {path: path.read_bytes() for path in Path("docs/claims").iterdir()} == pictures
    assert not Path("runs").exists()


# --- what an answer is known by ---------------------------------------------------------------------------------------


def test_an_answer_is_of_the_code_that_was_loaded_not_of_what_was_edited_meanwhile(folder):
    edit = "Path(__file__).write_text(Path(__file__).read_text() + '# edited')"
    folder.write(5, edit)
    assert claims.main([]) == 0
    assert folder.measured() == MEASURED
    assert claims.main([]) == 0  # it edits itself again
    assert folder.measured() == [("5", "False", "None")]
    module = claims.modules()[9]
    (folder.path / "claim_9.py").write_text((folder.path / "claim_9.py").read_text().replace("    pass", f"    {edit}"))
    module = claims.modules()[9]
    assert run_claim(module.__file__, module.CLAIM, module.measure, []) == 0
    folder.measured()
    assert claims.main(["--only", "9"]) == 0
    assert folder.measured() == [("9", "False", "None")]


def test_the_digest_is_that_of_the_file_and_of_all_that_it_imports(tmp_path):
    file = tmp_path / "claim.py"
    file.write_text("from convnet.claims import Claim\n")
    first = made_by(file, Effort())
    assert first == {"code": script_hash(file), "quick": False, "seeds": None}
    assert made_by(file, Effort(quick=True, seeds=3)) == first | {"quick": True, "seeds": 3}
    file.write_text('"""It holds."""\n\nfrom convnet.claims import Claim  # what was found may be told\n')
    assert made_by(file, Effort()) == first
    for other in (
        "from convnet.claims import Claim\nfrom convnet import data\n",
        "from convnet.claims import Effort\n",
    ):
        file.write_text(other)
        assert made_by(file, Effort())["code"] != first["code"]
