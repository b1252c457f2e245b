"""How fast the project is, beside its peers on the same machine in the same minutes.

Every peer runs in a process of its own and answers questions; the parent asks them in turn, A B A B, so that a machine
that slows down slows everybody. A result is the ratio of medians. `python -m benchmarks` lists the command lines.
"""
