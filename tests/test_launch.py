"""Several processes compute one run: that of one process, written once; and all end where one does."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from convnet.launch import jobs_of, parser
from convnet.record import read_manifest, read_metrics

ROOT = Path(__file__).resolve().parents[1]
WORKER = ROOT / "tests" / "several_processes.py"
PATIENCE = 60
EPOCHS = 14
"""Of the part that is called long."""
SECONDS = 240
"""Nothing here takes so long, however busy the machine."""


def start(directory, part, *options):
    command = [sys.executable, "-m", "convnet.launch", "--patience", str(PATIENCE), *options, WORKER, part, directory]
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([*map(str, command)], cwd=ROOT, **streams)


def launch(directory, part, processes=2):
    """(exit code, lines of standard output, lines of standard error that are convnet's)."""
    return ended(start(directory, part, "--processes", processes))


def ended(running):
    out, err = running.communicate(timeout=SECONDS)
    told = [line for line in err.splitlines() if line.startswith(("error:", "the run ended", "stopped", "Traceback"))]
    return running.returncode, out.splitlines(), told


def alone(directory, devices, part="train"):
    environ = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, "-m", "tests.several_processes", part, str(directory)]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def curve(lines):
    return [float(figure) for figure in lines[0].split()]


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory):
    return alone(tmp_path_factory.mktemp("alone"), devices=2)


@pytest.fixture(scope="module")
def long_of_one_process(tmp_path_factory):
    return alone(tmp_path_factory.mktemp("alone"), devices=2, part="long")


@pytest.fixture(scope="module")
def long_of_two(tmp_path_factory):
    """(directory, lines): as in the tests below that end such a run early."""
    directory = tmp_path_factory.mktemp("two")
    code, lines, told = launch(directory, "long")
    assert (code, told) == (0, [])
    return directory, lines


@pytest.mark.slow
def test_several_processes_compute_the_run_of_one(long_of_one_process, long_of_two):
    directory, lines = long_of_two
    assert len(lines) == 2  # the first process's alone
    np.testing.assert_allclose(curve(lines), curve(long_of_one_process), rtol=1e-9)
    assert read_manifest(directory / "run")["mesh"] == {"batch": 2, "replicates": 1}
    assert len(read_metrics(directory / "run")) == EPOCHS


@pytest.mark.sweep
def test_four_processes_compute_the_run_of_one(of_one_process, tmp_path):
    code, lines, told = launch(tmp_path, "train", 4)
    assert (code, told, len(lines)) == (0, [], 2)
    np.testing.assert_allclose(curve(lines), curve(of_one_process), rtol=1e-11)
    assert read_manifest(tmp_path / "run")["mesh"] == {"batch": 4, "replicates": 1}


@pytest.mark.sweep
def test_each_process_reads_its_share_of_the_images(of_one_process, tmp_path):
    code, lines, told = launch(tmp_path, "streamed")
    assert (code, told) == (0, [])
    np.testing.assert_allclose(curve(lines), curve(of_one_process), rtol=1e-11)
    epochs, examples = 3, 112  # of the 112 training images, in batches of 16
    assert [(tmp_path / f"read-{i}").read_text() for i in range(2)] == [str(epochs * examples // 2)] * 2


def wait_for_epoch(directory, number):
    metrics, end = directory / "run" / "metrics.jsonl", time.monotonic() + SECONDS
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < number:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.sweep), 1])
def test_where_one_process_dies_all_end_and_the_run_goes_on(victim, long_of_two, tmp_path):
    running = start(tmp_path, "long", "--processes", "2")
    wait_for_epoch(tmp_path, 3)
    os.kill(int((tmp_path / f"pid-{victim}").read_text()), signal.SIGKILL)
    died = time.monotonic()
    code, _, told = ended(running)
    assert time.monotonic() - died < 2 * PATIENCE
    assert code == 1
    assert told[-1].startswith("the run ended: process ")
    assert told[-1].endswith("--resume goes on from what is saved")
    assert 3 <= len(read_metrics(tmp_path / "run")) < EPOCHS
    code, lines, _ = launch(tmp_path, "long")
    assert code == 0
    assert lines == long_of_two[1]  # every figure and the hash


@pytest.mark.slow
def test_a_run_that_was_asked_to_stop_is_saved_and_goes_on_with_fewer_processes(long_of_one_process, tmp_path):
    running = start(tmp_path, "long", "--processes", "2")
    wait_for_epoch(tmp_path, 3)
    running.send_signal(signal.SIGTERM)
    code, _, _ = ended(running)
    assert code == 128 + signal.SIGTERM
    assert read_manifest(tmp_path / "run")["status"] == "stopped"
    lines = alone(tmp_path, 1, "resumed_elsewhere")
    np.testing.assert_allclose(curve(lines), curve(long_of_one_process), rtol=1e-9)
    assert read_manifest(tmp_path / "run")["resumed"][-1]["changed"]["mesh"] == [{"batch": 2, "replicates": 1}, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "told"),
    [
        pytest.param(
            "other_seeds",
            r"error: processes differ in config\.seed: 0 on process 0 \(.*\), 1 on 1 \(.*\)",
            marks=pytest.mark.sweep,
        ),
        ("other_data", r"error: processes differ in data\.digest: '\w+' on process 0 \(.*\), '\w+' on 1 \(.*\)"),
        pytest.param(
            "no_data_on_one", r"error: data\.name is 'letters': .* \(process 1, on .*\)", marks=pytest.mark.sweep
        ),
    ],
)
def test_processes_that_differ_end_before_anything_is_written(part, told, tmp_path):
    code, lines, (error,) = launch(tmp_path, part)
    assert (code, lines) == (2, [])
    assert re.fullmatch(told, error)
    assert not (tmp_path / "run").exists()


@pytest.mark.sweep
def test_another_run_is_refused_by_all_and_kept(tmp_path):
    assert launch(tmp_path, "train")[0] == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    code, _, (error,) = launch(tmp_path, "another_run_is_there")
    assert code == 2
    assert "holds another run: config.seed (0 then, 7 now)" in error
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.sweep
def test_where_one_process_fails_all_end_with_its_code(tmp_path):
    began = time.monotonic()
    code, lines, told = launch(tmp_path, "crash_on_one")
    assert (code, lines) == (1, [])
    assert told == ["Traceback (most recent call last):"]
    assert time.monotonic() - began < SECONDS / 2


def settings(*args):
    return parser().parse_args(list(args))


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (["train.py"], r"^--processes is missing: expected how many are to compute, as no Slurm says so$"),
        (["--processes", "2"], r"^command is missing: expected a file or a module"),
        (["--processes", "0", "train.py"], r"^--processes is 0: expected 1 or more"),
        (["--processes", "2", "--process", "1", "train.py"], r"^--process and --coordinator belong together"),
        (["--processes", "2", "--coordinator", "a:1", "train.py"], r"^--process and --coordinator belong together"),
        (["--process", "0", "--coordinator", "a:1", "train.py"], r"^--processes is None: expected 1 or more"),
        (["--processes", "2", "--process", "2", "--coordinator", "a:1", "x"], r"^--process is 2: expected 0 to 1"),
        (["--processes", "2", "--process", "1", "--coordinator", "a", "x"], r"^--coordinator is 'a': expected"),
        (["--processes", "2", "--patience", "0", "x"], r"^--patience is 0: expected 1 second or more"),
    ],
)  # fmt: skip
def test_wrong_arguments(args, match):
    with pytest.raises(ValueError, match=match):
        jobs_of(settings(*args), {})


def test_a_port_that_is_taken_and_a_coordinator_that_is_not_there():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"^--coordinator is 'localhost:{port}': port {port} cannot be had"):
            jobs_of(settings("--processes", "2", "--process", "0", "--coordinator", f"localhost:{port}", "x"), {})
    with pytest.raises(ValueError, match=rf"^--coordinator is '127.0.0.1:{port}': nobody there within 1 s"):
        jobs_of(settings("--processes", "2", "--process", "1", "--coordinator", f"127.0.0.1:{port}",
                         "--patience", "1", "x"), {})  # fmt: skip


def test_an_error_of_the_command_line_is_one_line(tmp_path):
    code, lines, told = ended(start(tmp_path, "train"))
    assert (code, lines) == (2, [])
    assert told == ["error: --processes is missing: expected how many are to compute, as no Slurm says so"]
