"""What is handed out as a value cannot be changed under its reader: settings, data, states, records, results."""

import importlib
import inspect
import pkgutil
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

PACKAGES = ("convnet", "convnet.ablation", "convnet.architectures", "convnet.data", "convnet.train")
COLLECTED = {"convnet.ablation.replicates._Run"}
"""What is filled in step by step."""


def dataclasses_in(scope, module):
    for thing in vars(scope).values():
        if inspect.isclass(thing) and thing.__module__ == module and is_dataclass(thing):
            yield thing
            yield from dataclasses_in(thing, module)


def values():
    found = {}
    for package in map(importlib.import_module, PACKAGES):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            found |= {f"{info.name}.{cls.__qualname__}": cls for cls in dataclasses_in(module, info.name)}
    return {name: cls for name, cls in found.items() if name not in COLLECTED}


VALUES = values()


def test_there_are_some():
    assert {"convnet.train.loop.Fit", "convnet.ablation.family.Family.Run"} <= set(VALUES)


@pytest.mark.parametrize("cls", VALUES.values(), ids=VALUES)
def test_a_value_cannot_be_changed(cls):
    value = object.__new__(cls)
    for field in fields(cls):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)
