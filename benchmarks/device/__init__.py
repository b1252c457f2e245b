"""One check of a whole accelerator: `bash scripts/device_check.sh`, or `python -m benchmarks.device`.

Each part is a process of its own with so many seconds to spend. It writes what it has after every measurement, so that
neither its end nor that of another part costs anything that was measured.
"""
