"""Under a Slurm that runs: what scripts/*.sbatch start computes what it would without, and goes on where it stopped."""

import csv
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from convnet.launch import by_srun, jobs_of, parser, variables_of
from convnet.record import read_manifest
from tests.slurm import missing, slurm

ROOT = Path(__file__).resolve().parents[1]
TINY = ("--model.name", "mlp", "--model.widths", "4", "--train.batch-size", "128", "--train.epochs")
EPOCHS = 30
STEP = {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_JOB_ID": "70", "SLURM_STEP_ID": "1", "SLURM_PROCID": "1"}


def settings(*args):
    return parser().parse_args(list(args))


def test_a_task_of_slurm_is_told_no_more_than_how_long_to_wait():
    (job,) = jobs_of(settings("--patience", "7", "train.py", "--seed", "3"), STEP)
    assert job == {"initialization_timeout": 7, "heartbeat_timeout_seconds": 7}


def test_who_is_in_a_job_but_not_started_by_srun_is_told_so():
    with pytest.raises(ValueError, match=r"^--processes is missing"):
        jobs_of(settings("train.py"), {"SLURM_JOB_ID": "70", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"})


def test_in_a_step_of_slurm_processes_may_be_started_as_elsewhere():
    assert not by_srun(settings("--processes", "2", "train.py"), STEP)
    assert len(jobs_of(settings("--processes", "2", "train.py"), STEP)) == 2


def test_each_step_has_a_port_and_the_threads_that_slurm_gives():
    ports = {
        int(variables_of({**STEP, "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)})["JAX_COORDINATOR_PORT"])
        for job in range(70, 90)
        for step in range(20)
    }
    assert len(ports) == 400
    assert min(ports) > 60_999  # the last that Linux gives away
    assert max(ports) < 2**16
    assert variables_of({**STEP, "JAX_COORDINATOR_PORT": "1234"}) == {"JAX_COORDINATOR_PORT": "1234"}
    assert variables_of({**STEP, "SLURM_CPUS_PER_TASK": "3"})["PJRT_NPROC"] == "3"
    assert "PJRT_NPROC" not in variables_of({**STEP, "SLURM_CPUS_PER_TASK": "3", "PJRT_NPROC": "2"})


def test_a_task_that_sees_one_card_takes_it():
    (job,) = jobs_of(settings("train.py"), {**STEP, "CUDA_VISIBLE_DEVICES": "1"})
    assert job["local_device_ids"] == [0]
    for all_of_the_node in ("0,1", ""):  # JAX takes the one of the task's number
        (job,) = jobs_of(settings("train.py"), {**STEP, "CUDA_VISIBLE_DEVICES": all_of_the_node})
        assert "local_device_ids" not in job


def test_a_port_that_is_taken_is_told_by_the_first_task():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        step = {**STEP, "JAX_COORDINATOR_PORT": str(taken.getsockname()[1])}
        jobs_of(settings("train.py"), step)
        with pytest.raises(ValueError, match=r"^JAX_COORDINATOR_PORT is (\d+): port \1 cannot be had \("):
            jobs_of(settings("train.py"), {**step, "SLURM_PROCID": "0"})


# --- a real one -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    if absent := missing():
        pytest.skip(f"no Slurm here ({', '.join(absent)}): apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm(Path(folder)) as here:
        here.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), here.environ["PATH"]])
        yield here


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The run of two processes that no Slurm started."""
    out = tmp_path_factory.mktemp("without") / "run"
    command = [sys.executable, "-m", "convnet.launch", "--processes", "2", "experiments/train.py", *TINY, str(EPOCHS)]
    environ = {**os.environ, "PJRT_NPROC": "1"}
    done = subprocess.run([*command, "--out", out], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return read_manifest(out)


def submit(cluster, log, script, *arguments, options=()):
    return cluster.submit(f"--output={log}", *options, Path("scripts", script), *arguments, cwd=ROOT)


def ended(cluster, job, log):
    assert cluster.wait(job, "COMPLETED", "FAILED") == "COMPLETED", log.read_text()[-3000:] + cluster.told()
    return log.read_text()


@pytest.mark.slow
def test_a_job_of_two_tasks_computes_the_run_of_two_processes(cluster, without, tmp_path):
    log, out = tmp_path / "log", tmp_path / "run"
    told = ended(cluster, submit(cluster, log, "launch.sbatch", *TINY, EPOCHS, "--out", out), log)
    here = read_manifest(out)
    assert here["mesh"] == without["mesh"] == {"batch": 2, "replicates": 1}
    assert here["threads"] == without["threads"] == 1
    assert here["parameter_hash"] == without["parameter_hash"]
    assert re.findall(r"^parameter hash +(\w+)$", told, re.MULTILINE) == [here["parameter_hash"]]  # one task prints


@pytest.mark.sweep
def test_a_job_that_is_asked_to_end_saves_and_its_next_turn_ends_with_the_same_bits(cluster, without, tmp_path):
    log, out = tmp_path / "log", tmp_path / "run"
    job = submit(cluster, log, "launch.sbatch", *TINY, EPOCHS, "--out", out)
    metrics, end = out / "metrics.jsonl", time.monotonic() + 240
    while not metrics.exists() or not metrics.read_bytes():
        assert cluster.state(job) in ("PENDING", "RUNNING"), log.read_text()
        assert time.monotonic() < end, log.read_text()
    cluster.call("scancel", "--signal=TERM", job)  # as --signal does when the time is nearly over
    assert cluster.wait(job, "PENDING", "FAILED") == "PENDING", log.read_text()[-3000:] + cluster.told()
    cluster.wait_idle()
    stopped = read_manifest(out)
    assert stopped["status"] == "stopped", log.read_text()
    assert 0 < stopped["at_epoch"] < EPOCHS
    assert f"stopped after epoch {stopped['at_epoch']} of {EPOCHS}, saved" in log.read_text()
    time.sleep(1)  # news of the first turn's end may still be on its way, for which Slurm would wait two minutes
    cluster.call("scontrol", "update", f"JobId={job}", "StartTime=now")
    ended(cluster, job, log)
    resumed = read_manifest(out)
    assert len(resumed["resumed"]) == 1
    assert resumed["parameter_hash"] == without["parameter_hash"]
    assert resumed["metrics_hash"] == without["metrics_hash"]


@pytest.mark.sweep
def test_the_jobs_of_an_array_make_one_report(cluster, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    arms = ("--factor", "optim.learning_rate=0.1,0.2", "--seeds", "2", *TINY, "1", "--out", out)
    told = ended(cluster, submit(cluster, log, "ablate.sbatch", *arms, options=["--array=1-2"]), log)
    assert told.count("2 of 2 cells to do; 2 arms × 2 seeds") == 2
    with open(out / "results.csv", newline="") as file:
        assert sorted(row["seed"] for row in csv.DictReader(file)) == ["0", "0", "1", "1"]
    assert "not finished" not in (out / "report.html").read_text()
