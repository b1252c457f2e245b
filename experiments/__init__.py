"""One question per file, each runnable: `python experiments/compare.py --help`.

Installed as `convnet.experiments`, so that a wheel carries them too.
"""
