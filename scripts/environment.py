"""What `make` installs: the versions of requirements.lock, each proven by its hash, and convnet itself.

python -m scripts.environment install requirements.lock    into the environment whose Python runs this
python -m scripts.environment install ""                   without a lock: the newest releases that setup.cfg allows
python -m scripts.environment lock [--upgrade]             write the lock: what setup.cfg newly asks for, or all anew
"""

import itertools
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("test", "tfds", "stream", "board", "others")
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
PLATFORMS = {  # what Python calls a platform: what uv calls it
    ("Linux", "x86_64"): "x86_64-manylinux_2_28",
    ("Linux", "aarch64"): "aarch64-manylinux_2_28",
    ("Darwin", "arm64"): "aarch64-apple-darwin",
}
SOURCE_ONLY = ("promise",)  # pure Python that PyPI has no wheel of


def install(lock: str) -> None:
    """Install convnet, editable, with its extras: from the lock if one is given and made for this Python."""
    here = (platform.system(), platform.machine())
    name = f"{platform.python_implementation()} {platform.python_version()} on {' '.join(here)}"
    locked = platform.python_implementation() == "CPython" and sys.version_info[:2] in PYTHONS and here in PLATFORMS
    if not lock or not locked:
        if lock:
            print(f"{lock} is not made for {name}: installing the newest that setup.cfg allows", file=sys.stderr)
        pip("install", "--editable", f"{ROOT}[{','.join(EXTRAS)}]")
        return
    text = Path(lock).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        # What builds packages comes first, and proven too: pip would fetch it unproven, into a place of its own.
        tools = Path(folder) / "tools.txt"
        needed = [stanza for stanza in stanzas(text) if requirement_name(stanza) in build_tools()]
        tools.write_text("".join(needed), encoding="utf-8")
        pip("install", "--require-hashes", "--requirement", tools)
    pip("install", "--require-hashes", "--no-deps", "--no-build-isolation", "--requirement", lock)
    pip("install", "--no-deps", "--no-build-isolation", "--editable", ROOT)


def lock(*options: str) -> None:
    """Write the lock, for every Python and platform above, and see that each finds a file for all that is in it."""
    extras = [f"--extra={extra}" for extra in EXTRAS]
    oldest = ".".join(map(str, PYTHONS[0]))
    # --no-config: the index of whoever writes the lock is nobody else's business.
    uv(
        *("pip", "compile", "--no-config", "--universal", "--generate-hashes", "--no-annotate", "--no-emit-index-url"),
        *("--quiet", "--custom-compile-command=make lock", f"--python-version={oldest}", *extras, *options),
        *(f"--output-file={LOCK}", ROOT / "setup.cfg", "-"),
        input="\n".join(build_requirements()),
    )
    sources = [f"--no-binary={package}" for package in SOURCE_ONLY]
    with tempfile.TemporaryDirectory() as folder:
        for system, python in itertools.product(PLATFORMS.values(), PYTHONS):
            uv(
                *("pip", "install", "--no-config", "--quiet", "--dry-run", f"--target={folder}", "--require-hashes"),
                *("--only-binary=:all:", *sources, f"--python-platform={system}"),
                *(f"--python-version={'.'.join(map(str, python))}", f"--requirement={LOCK}"),
            )


def stanzas(text: str) -> list[str]:
    """The lock's requirements, each with the lines of its hashes."""
    return re.findall(r"^[a-z0-9].*(?:\n .*)*\n", text, flags=re.MULTILINE)


def requirement_name(text: str) -> str:
    return re.match(r"[\w.-]+", text)[0].lower().replace("_", "-")


def build_requirements() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]


def build_tools() -> set[str]:
    return set(map(requirement_name, build_requirements()))


def pip(*arguments) -> None:
    run(sys.executable, "-m", "pip", "--quiet", *arguments)


def uv(*arguments, **options) -> None:
    run(sys.executable, "-m", "uv", *arguments, text=True, **options)


def run(*command, **options) -> None:
    # setuptools warns of every editable installation, at length, that folders may be mistaken for packages.
    environment = os.environ | {"PYTHONWARNINGS": "ignore:Editable installation"}
    if code := subprocess.run([str(word) for word in command], env=environment, **options).returncode:
        sys.exit(code)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install", lock_file]:
            install(lock_file)
        case ["lock", *options]:
            lock(*options)
        case _:
            sys.exit(__doc__)
