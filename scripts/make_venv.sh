#!/bin/sh
# make_venv.sh PYTHON VENV: a virtual environment with pip. Debian ships python3 without the part that makes one
# (ensurepip, in python3-venv), so where that is missing and we may install packages, install it first.
set -eu
python=$1 venv=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "convnet needs Python 3.11 or newer; choose one with make PYTHON=..." >&2; exit 1; }

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    echo "$python has no ensurepip; installing Debian's $package" >&2
    as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
    if ! { command -v apt-get >/dev/null && $as_root apt-get update -qq && $as_root apt-get install -y -qq "$package"; } >/dev/null
    then
        echo "cannot install it: please install $package (or another Python with venv) and try again" >&2
        exit 1
    fi
fi
# A half-made environment would look finished to make.
trap '[ -x "$venv/.ok" ] || rm -rf "$venv"' EXIT
"$python" -m venv "$venv"
touch "$venv/.ok" && chmod +x "$venv/.ok"
