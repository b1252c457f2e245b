"""The findings of all claims in one JSON file, from which their document can be written again without measuring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from convnet.claims.page import picture_name
from convnet.claims.stored import Answer, described, restored
from convnet.record import write_json

WHERE = ("started", "command", "platform", "cpus", "python", "packages", "device")
"""What a document says of the circumstances."""


def write_results(path: Path, answers: Sequence[Answer], files: Sequence[str]) -> None:
    """`path`: of each claim what is said of it, the name of its file, and its first picture by its digest: the document
    has the picture itself."""
    claims = []
    for answer, file in zip(answers, files, strict=True):
        picture = answer.evidence.pictures[0]
        digest = hashlib.sha256(picture.figure).hexdigest()
        shown = {"key": picture.key, "alt": picture.alt, "caption": picture.caption, "of_images": picture.of_images}
        values = described(answer) | {"pictures": [shown | {"sha256": digest}]}
        values["where"] = {name: answer.where[name] for name in WHERE}
        claims.append({"file": file} | values)
    write_json(path, {"claims": claims})


def read_results(path: Path, pictures: Path) -> tuple[list[Answer], list[str]]:
    """The answers of such a file, each with its first picture out of the folder `pictures` of a document, and the names
    of their files.

    Raises ValueError for a file that is none, and a picture that is missing or another than was measured.
    """
    try:
        claims = json.loads(path.read_text(encoding="utf-8"))["claims"]
        files = [values.pop("file") for values in claims]
        return [_answer(values, pictures) for values in claims], files
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        told = f"{path} cannot be read ({type(error).__name__}: {error}): expected results of claims"
        raise ValueError(told) from error


def _answer(values: dict, folder: Path) -> Answer:
    (shown,) = values["pictures"]
    file = folder / picture_name(values["claim"]["number"], values["claim"]["title"])
    image = file.read_bytes()
    if hashlib.sha256(image).hexdigest() != shown.pop("sha256"):
        raise ValueError(f"{file} is not the picture that was measured with these results")
    return restored(values, [shown | {"figure": image}])
