"""A Slurm of one node, for tests: munged, slurmctld and slurmd as children of this process, on ports of their own.

All that they write is in one directory, and they run as whoever runs the tests; a Slurm that is installed here for
others, and its configuration, is neither asked nor touched. The node is said to have two processors, whatever it has.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
"""Daemons are not where users look for programs."""
PATIENCE = 60
"""Seconds in which a daemon answers, however busy the machine; a job of a test has four times as many."""
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerParameters=sched_interval=1,bf_interval=1
FirstJobId={first}
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES State=UP
"""


def missing():
    """Programs of a Slurm that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def version():
    """The year of the Slurm that is installed, as 24 of 24.05.1. An older one cannot be told to leave control groups
    alone, but does not touch those of version 1 before anything asks for them."""
    told = subprocess.run(["slurmd", "-V"], env=os.environ | {"PATH": PATH}, capture_output=True, text=True, timeout=10)
    return int(told.stdout.split()[-1].partition(".")[0])


class Slurm:
    """What to ask of a Slurm that runs: its programs, with `environ`."""

    def __init__(self, folder):
        self.folder = folder
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        self.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}

    def call(self, *command, cwd=None, **environ):
        """What a program prints, without the end of the line. Raises with all that it said where it fails."""
        ran = subprocess.run(
            command, env=self.environ | environ, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
        )
        assert ran.returncode == 0, f"{' '.join(map(str, command))}: {ran.stdout}{ran.stderr}"
        return ran.stdout.strip()

    def submit(self, *arguments, cwd, **environ):
        """The number of a new job."""
        return self.call("sbatch", "--parsable", *map(str, arguments), cwd=cwd, **environ)

    def state(self, job):
        """Of a job: PENDING, RUNNING, COMPLETED, … (of an array, all that its parts are in)."""
        told = self.call("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")
        return " ".join(sorted(set(told.split())))

    def wait(self, job, *states, patience=4 * PATIENCE):
        """Until a job is in one of `states`, which it then returns."""
        end = time.monotonic() + patience
        while (state := self.state(job)) not in states:
            assert time.monotonic() < end, f"job {job} is {state}:\n{self.told()}"
            time.sleep(0.1)
        return state

    def wait_idle(self):
        """Until nothing of any job is left on the node."""
        until(lambda: self.call("sinfo", "--noheader", "--format=%T") == "idle", self)

    def end_jobs(self):
        """None is left running; their processes are no children of the daemons."""
        self.call("scancel", f"--user={getuser()}")
        self.wait_idle()

    def told(self):
        """The ends of the daemons' logs."""
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in self.folder.glob("*.log"))


@contextmanager
def slurm(folder: Path):
    """A Slurm in `folder`, whose path is short (a socket lies in it)."""
    here = Slurm(folder)
    ports = free_ports(2)
    host = socket.gethostname().partition(".")[0]
    names = dict(host=host, user=getuser(), folder=folder, controller=ports[0], daemon=ports[1])
    names["first"] = 1 + secrets.randbelow(60_000)  # jobs have ports by their numbers, and other tests may run here
    (folder / "slurm.conf").write_text(CONF.format(**names))
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={'disabled' if version() >= 24 else 'cgroup/v1'}\n")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)
    places = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munge.seed"}
    places["log-file"] = "munged.log"
    daemons = (
        ["munged", "--foreground", "--force", *(f"--{name}={folder / file}" for name, file in places.items())],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-c"],
    )
    running = []
    try:
        for command in daemons:
            with open(folder / f"{command[0]}.out.log", "w") as out:
                running.append(subprocess.Popen(command, env=here.environ, stdout=out, stderr=out, cwd=folder))
            if command[0] == "munged":
                until(lambda: (folder / "munge.socket").exists(), here)
        here.wait_idle()
        try:
            yield here
        finally:
            here.end_jobs()
    finally:
        for daemon in reversed(running):
            daemon.terminate()
        for daemon in running:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def until(true, here):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except AssertionError:  # the controller does not answer yet
            pass
        assert time.monotonic() < end, here.told()
        time.sleep(0.1)


def free_ports(n):
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
