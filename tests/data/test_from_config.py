"""The data that a config names: a data set, or a folder."""

import numpy as np
import pytest

from convnet import data
from convnet.config import DataConfig
from convnet.data import DatasetNotPrepared, UnreadableImages, from_config
from tests.data.test_folder import colour, write


@pytest.fixture
def pets(tmp_path):
    for number in range(20):
        write(tmp_path, "pets", "ab"[number % 2], f"{number:02}.png", pixels=colour(number))
    return tmp_path / "pets"


def test_a_data_set_by_its_name():
    assert from_config(DataConfig()).digest == data.load("digits").digest
    assert len(from_config(DataConfig("digits", limit=100)).train) == 100
    with pytest.raises(ValueError, match=r"^limit 3 does not suit digits: size must be from 10"):
        from_config(DataConfig("digits", limit=3))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("size", [None, 5])
def test_a_folder(pets, stored, size):
    found = from_config(DataConfig(folder=str(pets), size=size), stored=stored)
    expected = data.from_folder(pets, size=size)
    assert found.stored == stored
    assert found.description == expected.description
    assert found.name == "pets"


@pytest.mark.parametrize("stored", [False, True])
def test_a_limit_is_a_stratified_part_or_all_there_is(pets, stored):
    few = from_config(DataConfig(folder=str(pets), limit=4), stored=stored)
    whole = data.from_folder(pets)
    assert few.digest == whole.limited(4).digest
    assert np.bincount(few.train.labels).tolist() == [2, 2]
    assert from_config(DataConfig(folder=str(pets), limit=2000), stored=stored).digest == whole.digest
    with pytest.raises(ValueError, match=r"^limit 1 does not suit pets"):
        from_config(DataConfig(folder=str(pets), limit=1), stored=stored)


@pytest.mark.parametrize("stored", [False, True])
def test_files_that_cannot_be_read(pets, stored):
    (pets / "a" / "text.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImages, match=r"text\.png"):
        from_config(DataConfig(folder=str(pets)), stored=stored)
    found = from_config(DataConfig(folder=str(pets), skip_unreadable=True), stored=stored)
    assert sum(map(len, found.splits.values())) == 20


def test_what_has_no_sense_without_a_folder_is_refused():
    for config in (DataConfig(size=4), DataConfig(skip_unreadable=True)):
        with pytest.raises(
            ValueError, match=r"^data\.(size|skip_unreadable) is .*: expected nothing where data.folder"
        ):
            from_config(config)


def test_a_folder_that_is_gone(pets):
    with pytest.raises(DatasetNotPrepared, match=r"^data\.folder is '.*elsewhere': expected a directory$"):
        from_config(DataConfig(folder=str(pets.parent / "elsewhere")))


def test_digits_are_in_memory_anyway():
    assert not from_config(DataConfig(), stored=True).stored
