"""The reader on a small dataset prepared here as TFDS would, then facts about the real ones where they are at hand."""

import configparser
import io
import json
import os
import pickle
import re
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convnet import data
from convnet.data import DatasetNotPrepared, cache, tfds

TINY = tfds.Source("tiny", "1.2.3", train_size=300, test_size=50, class_names=("a", "b", "c"), validation_size=60)
FEATURES = {
    "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
    "featuresDict": {
        "features": {
            "image": {
                "pythonClassName": "tensorflow_datasets.core.features.image_feature.Image",
                "image": {"shape": {"dimensions": ["4", "5", "3"]}, "dtype": "uint8", "encodingFormat": "png"},
            },
            "label": {
                "pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel",
                "classLabel": {"numClasses": "3"},
            },
        }
    },
}


def _info(file_format):
    shards = {"train": ["200", "100"], "test": ["50"]}
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [{"name": name, "filepathTemplate": template, "shardLengths": sizes} for name, sizes in shards.items()]
    return {"name": "tiny", "version": "1.2.3", "fileFormat": file_format, "splits": splits}


def _record(image, label):
    from PIL import Image
    from tensorflow_datasets.proto import tf_example_pb2

    png = io.BytesIO()
    Image.fromarray(image).save(png, format="png")
    example = tf_example_pb2.Example()
    example.features.feature["image"].bytes_list.value.append(png.getvalue())
    example.features.feature["label"].int64_list.value.append(int(label))
    return example.SerializeToString()


def _write_shard(path, images, labels):
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for image, label in zip(images, labels, strict=True):
        writer.write(_record(image, label))
    writer.close()


@pytest.fixture(scope="session")
def tiny_arrays():
    rng = np.random.default_rng(5)
    return {
        split: (rng.integers(0, 256, (size, 4, 5, 3), dtype=np.uint8), rng.integers(0, 3, size))
        for split, size in (("train", 300), ("test", 50))
    }


@pytest.fixture
def prepared(tmp_path, monkeypatch, tiny_arrays):
    """TFDS_DATA_DIR with `tiny` prepared in it; returns the folder of its version."""
    pytest.importorskip("tensorflow_datasets", reason="tensorflow_datasets is not installed")
    pytest.importorskip("array_record", reason="array_record is not installed")
    folder = tmp_path / "tfds" / "tiny" / "1.2.3"
    folder.mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps(FEATURES))
    (folder / "dataset_info.json").write_text(json.dumps(_info("array_record")))
    images, labels = tiny_arrays["train"]
    _write_shard(folder / "tiny-train.array_record-00000-of-00002", images[:200], labels[:200])
    _write_shard(folder / "tiny-train.array_record-00001-of-00002", images[200:], labels[200:])
    _write_shard(folder / "tiny-test.array_record-00000-of-00001", *tiny_arrays["test"])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return folder


def _rows(images, labels):
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


def test_every_prepared_example_arrives_in_its_split(prepared, tiny_arrays):
    tiny = tfds.load_prepared(TINY)
    assert [len(tiny.train), len(tiny.validation), len(tiny.test)] == [240, 60, 50]
    np.testing.assert_array_equal(tiny.test.images, tiny_arrays["test"][0])
    np.testing.assert_array_equal(tiny.test.labels, tiny_arrays["test"][1])
    found = _rows(tiny.train.images, tiny.train.labels) + _rows(tiny.validation.images, tiny.validation.labels)
    assert sorted(found) == _rows(*tiny_arrays["train"])
    assert tiny.class_names == ("a", "b", "c")
    assert tiny.name == "tiny"


def test_validation_is_stratified(prepared, tiny_arrays):
    counts = np.bincount(tiny_arrays["train"][1])
    found = np.bincount(tfds.load_prepared(TINY).validation.labels)
    assert (np.abs(found - counts * 60 / 300) < 1).all()


def _refuse_connections(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was attempted")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_reading_uses_neither_network_nor_tensorflow(prepared, monkeypatch):
    _refuse_connections(monkeypatch)
    tfds.load_prepared(TINY)
    assert "tensorflow" not in sys.modules


def test_second_load_needs_no_prepared_files(prepared, monkeypatch):
    first = tfds.load_prepared(TINY)
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    second = tfds.load_prepared(TINY)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(second, name).images, getattr(first, name).images)
        np.testing.assert_array_equal(getattr(second, name).labels, getattr(first, name).labels)


def test_damaged_cache_is_decoded_anew(prepared, caplog):
    first = tfds.load_prepared(TINY)
    (path,) = cache.cache_directory().iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    second = tfds.load_prepared(TINY)
    np.testing.assert_array_equal(second.train.images, first.train.images)
    assert str(path) in caplog.text


def test_cache_dir_argument_is_used(prepared, tmp_path):
    tfds.load_prepared(TINY, cache_dir=tmp_path / "elsewhere")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["tiny-1.2.3-layout1.v1.arrays"]
    assert not cache.cache_directory().exists()


def _assert_same(kept, whole):
    assert (kept.stored, whole.stored) == (True, False)
    assert kept.description == whole.description
    np.testing.assert_array_equal(kept.mean, whole.mean)
    np.testing.assert_array_equal(kept.std, whole.std)
    for name, split in kept.splits.items():
        np.testing.assert_array_equal(split.labels, whole.splits[name].labels)
        some = np.arange(0, len(split), max(len(split) // 50, 1))
        np.testing.assert_array_equal(split.images[some], whole.splits[name].images[some])


def test_images_that_stay_in_their_files_are_the_same(prepared):
    kept, whole = tfds.load_prepared(TINY, stored=True), tfds.load_prepared(TINY)
    _assert_same(kept, whole)
    _assert_same(kept.limited(40), whole.limited(40))
    for name, split in whole.splits.items():
        np.testing.assert_array_equal(np.asarray(kept.splits[name].images), split.images)


def test_the_labels_of_stored_images_are_read_once(prepared, monkeypatch):
    first = tfds.load_prepared(TINY, stored=True)
    monkeypatch.setattr(tfds.Records, "labels", None)
    again = tfds.load_prepared(TINY, stored=True)
    assert again.train.labels.tolist() == first.train.labels.tolist()
    assert pickle.loads(pickle.dumps(again.test.images))[3].tolist() == first.test.images[3].tolist()


def test_stored_images_need_their_files(prepared, monkeypatch, tmp_path):
    tfds.load_prepared(TINY, stored=True)
    (prepared / "tiny-test.array_record-00000-of-00001").unlink()
    with pytest.raises(DatasetNotPrepared, match=r"tiny 1.2.3 in .* cannot be read"):
        tfds.load_prepared(TINY, stored=True)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetNotPrepared, match=r"tiny 1.2.3 is not prepared in"):
        tfds.load_prepared(TINY, stored=True)


def _run_fresh(program):
    """(stdout, stderr) of a fresh Python: what a process imports or says only once is seen there alone."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout, result.stderr


def test_progress_goes_to_stderr_and_opencv_is_not_advertised(prepared):
    out, err = _run_fresh(f"from convnet.data.tfds import *; load_prepared({TINY!r})")
    assert out == ""
    assert "decoding tiny" in err
    assert "OpenCV" not in err


def _assert_says_how(error):
    text = str(error.value)
    assert "TFDS_DATA_DIR" in text
    assert f"needs: {_pip_install(tfds.READING)}\n" in text
    assert f" {_pip_install(tfds.READING + tfds.PREPARING)}\n" in text
    assert 'tfds.builder("tiny:1.2.3", file_format="array_record").download_and_prepare()' in text


def _pip_install(packages):
    """What a shell makes the right command of."""
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])


def test_what_reading_and_preparing_need_is_what_the_extras_install():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    extras = setup["options.extras_require"]
    assert extras["tfds"].split() == list(tfds.READING)
    assert extras["prepare"].split() == [f"{setup['metadata']['name']}[tfds]", *tfds.PREPARING]


def test_the_commands_of_the_message_are_commands(tmp_path, monkeypatch):
    """Of this environment, in which reading needs nothing more: pip finds all of it installed and goes nowhere."""
    pytest.importorskip("tensorflow_datasets", reason="tensorflow_datasets is not installed")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DatasetNotPrepared) as error:
        tfds.load_prepared(TINY)
    (command,) = re.findall(r"Reading it needs: (.+)", str(error.value))
    done = subprocess.run([*shlex.split(command), "--no-index"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The script of the second way, as a shell reads it, is whole: it is compiled, not run, which would download.
    (script,) = re.findall(r"(-c '(?:.|\n)+')$", str(error.value))
    compile(shlex.split(script)[1], "the message", "exec")


def test_unprepared_dataset_says_at_once_how_to_get_it(tmp_path, monkeypatch):
    """Without a wait for anything: neither the network is asked, nor is a package looked for."""
    _refuse_connections(monkeypatch)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DatasetNotPrepared, match=rf"tiny 1.2.3 is not prepared in {tmp_path}\n") as error:
        tfds.load_prepared(TINY)
    _assert_says_how(error)
    assert isinstance(error.value, ValueError)


def test_without_the_variable_the_default_folder_is_searched(tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(DatasetNotPrepared, match=r"tensorflow_datasets \(the default folder .* is not set\)") as error:
        tfds.load_prepared(TINY)
    assert str(tmp_path) in str(error.value)


def test_nor_does_it_need_a_home(homeless, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(DatasetNotPrepared, match=r"is not prepared in ~/tensorflow_datasets \(the default folder"):
        tfds.load_prepared(TINY)


def test_mnist_and_cifar10_are_refused_where_not_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for name, version in (("mnist", "3.0.1"), ("cifar10", "3.0.2")):
        with pytest.raises(DatasetNotPrepared, match=f"{name} {version} is not prepared"):
            data.load(name)


@pytest.mark.parametrize("package", ["tensorflow_datasets", "array_record.python.array_record_data_source"])
def test_missing_packages_are_named(prepared, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DatasetNotPrepared, match=rf"a package is missing: .*{package}") as error:
        tfds.load_prepared(TINY)
    _assert_says_how(error)


def _another_format(folder):
    (folder / "dataset_info.json").write_text(json.dumps(_info("tfrecord")))


def _no_shard(folder):
    next(folder.glob("*-train*")).unlink()


def _cut_shard(folder):
    for path in folder.glob("*-test*"):
        os.truncate(path, 1000)


def _flipped_byte(folder):
    (path,) = folder.glob("*-test*")
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)


def _garbled_info(folder):
    (folder / "dataset_info.json").write_text("{")


def _no_features(folder):
    (folder / "features.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (_another_format, "TFRECORD is not supported"),
        (_no_shard, "No such file"),
        (_cut_shard, "should be at least"),
        (_flipped_byte, "hash mismatch"),
        (_garbled_info, "Failed to load JSON"),
        (_no_features, "Cannot restore tiny"),
    ],
)
def test_unreadable_files_are_reported_and_never_cached(prepared, spoil, cause):
    spoil(prepared)
    with pytest.raises(DatasetNotPrepared, match=f"(?s)cannot be read: .*{cause}") as error:
        tfds.load_prepared(TINY)
    _assert_says_how(error)
    assert str(prepared) in str(error.value)
    assert error.value.__cause__ is not None
    assert not cache.cache_directory().exists()


def test_a_dataset_prepared_in_part_is_refused(prepared):
    with pytest.raises(DatasetNotPrepared, match="train holds 300 examples, expected 400"):
        tfds.load_prepared(replace(TINY, train_size=400))


def test_import_is_light():
    loaded = set(_run_fresh("import sys, convnet.data; print(*sys.modules)")[0].split())
    assert "convnet.data.tfds" in loaded
    assert not loaded & {"tensorflow_datasets", "tensorflow", "sklearn", "tqdm", "platformdirs"}


def _sizes(dataset):
    return [len(dataset.train), len(dataset.validation), len(dataset.test)]


def _official(dataset, part):
    return np.concatenate([getattr(dataset.train, part), getattr(dataset.validation, part)])


def _prepared_names(name, version):
    path = Path(os.environ["TFDS_DATA_DIR"]) / name / version / "label.labels.txt"
    return tuple(path.read_text().split()) if path.is_file() else None


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.mark.parametrize(
    ("source", "train", "names"),
    [(tfds.MNIST, 60_000, tuple("0123456789")), (tfds.CIFAR10, 50_000, CIFAR10_CLASSES)],
    ids=["mnist", "cifar10"],
)
def test_prepared_files_must_hold_what_the_authors_published(source, train, names):
    assert (source.train_size, source.test_size, source.class_names) == (train, 10_000, names)
    assert source.validation_size == 5_000  # which is ours


MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_is_mnist(mnist):
    assert _sizes(mnist) == [55_000, 5_000, 10_000]
    assert mnist.image_shape == (28, 28, 1)
    assert np.bincount(_official(mnist, "labels")).tolist() == MNIST_TRAIN
    assert np.bincount(mnist.test.labels).tolist() == MNIST_TEST
    official = _official(mnist, "images").ravel()
    np.testing.assert_allclose(official.mean(dtype=np.float64) / 255, 0.1307, atol=5e-5)
    np.testing.assert_allclose(official.std(dtype=np.float64) / 255, 0.3081, atol=5e-5)


def test_mnist_validation_has_every_class_in_proportion(mnist):
    assert (np.abs(np.bincount(mnist.validation.labels) - np.array(MNIST_TRAIN) / 12) < 1).all()


def test_mnist_limit_is_stratified(mnist, session_cache):
    limited = data.load("mnist", limit=2_000, cache_dir=session_cache)
    assert _sizes(limited) == [2_000, 5_000, 10_000]
    share = np.bincount(mnist.train.labels) * 2_000 / 55_000
    assert (np.abs(np.bincount(limited.train.labels) - share) < 1).all()


@pytest.mark.sweep
def test_cifar10_is_cifar10(cifar10):
    assert _sizes(cifar10) == [45_000, 5_000, 10_000]
    assert cifar10.image_shape == (32, 32, 3)
    assert np.bincount(cifar10.train.labels).tolist() == [4_500] * 10
    assert np.bincount(cifar10.validation.labels).tolist() == [500] * 10
    assert np.bincount(cifar10.test.labels).tolist() == [1_000] * 10
    # Of the official 50,000, from the moments of the two parts.
    images = _official(cifar10, "images").reshape(-1, 3)
    np.testing.assert_allclose(images.mean(axis=0, dtype=np.float64) / 255, [0.4914, 0.4822, 0.4465], atol=5e-5)
    assert _prepared_names("cifar10", "3.0.2") in (None, cifar10.class_names)


@pytest.mark.sweep
def test_cifar10_statistics_are_of_its_training_split(cifar10):
    np.testing.assert_allclose(cifar10.mean, cifar10.train.images.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(cifar10.std / 255, [0.2470, 0.2435, 0.2616], atol=1e-3)


@pytest.mark.sweep  # as the small set prepared here is, in every run
def test_mnist_is_the_same_in_its_files(mnist):
    _assert_same(data.load("mnist", stored=True), mnist)


@pytest.mark.sweep
def test_cifar10_is_the_same_in_its_files(cifar10):
    _assert_same(data.load("cifar10", stored=True), cifar10)


def test_no_image_of_the_training_split_is_in_validation(mnist):
    # MNIST has no two equal images.
    train = {image.tobytes() for image in mnist.train.images}
    assert not any(image.tobytes() in train for image in mnist.validation.images)


def test_cached_real_data_are_not_decoded_again(mnist, session_cache, monkeypatch):
    """Which takes twenty times as long."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    again = data.load("mnist", cache_dir=session_cache)
    np.testing.assert_array_equal(again.test.labels, mnist.test.labels)
