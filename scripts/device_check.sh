#!/usr/bin/env bash
# One check of a machine's accelerators, one or several, within eight minutes: gradients; steps of several devices, and
# runs that go on on others; training steps, ResNet-18 at 224² too; images that are read; equal bits; replicates; ops;
# MNIST; formulations.
#   bash scripts/device_check.sh                     results in $OUT, or benchmarks/results/<device>/
#   bash scripts/device_check.sh --parts audit ops   some of it; --help tells what each part is
#   bash scripts/device_check.sh --tiny --out /tmp/x --budget 60    does everything run?
# It takes the python of $PYTHON, else of .venv, else python3: with JAX for the device, and torch to compare with.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    [ -x "$here/.venv/bin/python" ] && PYTHON=$here/.venv/bin/python
fi
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec "$PYTHON" -m benchmarks.device "$@"
