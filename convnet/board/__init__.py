"""The referee goes out: public functions of the JAX ecosystem beside their mathematics, and what is found."""

from importlib.util import find_spec

for _package in ("mpmath", "pebble"):
    if find_spec(_package) is None:
        raise ModuleNotFoundError(f"no {_package} here: pip install 'convnet-lab[board]' brings it", name=_package)
