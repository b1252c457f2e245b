"""The commands of `python -m benchmarks`, a module each: its settings, what it measures, and `main(args)`."""
