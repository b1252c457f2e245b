"""The pictures of the README, from the pages that `look` wrote: parts of them, as a browser shows them.

    python experiments/train.py --data.name mnist --train.epochs 3 --out runs/look/mnist
    python experiments/look.py runs/look/mnist
    python -m scripts.gallery runs/look/mnist/look            writes docs/gallery/*.png

Needs Chromium, and the packages of the extra `test`.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from convnet.cli import run_command

PARTS = {
    "units": "section[id^='units-of-']",
    "classes": "#classes",
    "occlusion": "#occlusion",
    "inversion": "#inversion",
    "trust": "#can-these-pictures-be-trusted",
}
"""Picture -> the part of report.html that it shows: the table, without heading and caption."""
DRAWN = ((0.3, 0.25), (0.7, 0.25), (0.45, 0.8))
"""A 7, in parts of the drawing area."""


@dataclass(frozen=True)
class Gallery:
    """Photograph parts of report.html and live.html for the README."""

    look: Annotated[Path, tyro.conf.Positional]
    """Directory that look.py wrote."""
    out: Path = field(default_factory=lambda: Path("docs", "gallery"))
    """Where the pictures go."""


def photograph(settings: Gallery) -> None:
    """Raises ValueError where there is no such page, or no browser."""
    from playwright.sync_api import sync_playwright

    for name in ("report.html", "live.html"):
        if not (settings.look / name).exists():
            raise ValueError(f"look is {str(settings.look)!r}: it has no {name}; experiments/look.py writes both")
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        raise ValueError("there is no Chromium here: apt-get install chromium")
    settings.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 900}, device_scale_factor=1)
        page.goto((settings.look / "report.html").resolve().as_uri())
        for name, part in PARTS.items():
            table = page.locator(f"{part} table").last
            if table.count():
                table.screenshot(path=settings.out / f"{name}.png")
                print(settings.out / f"{name}.png")
        page.set_viewport_size({"width": 1180, "height": 980})
        page.goto((settings.look / "live.html").resolve().as_uri())
        _draw(page)
        page.screenshot(path=settings.out / "live.png")
        print(settings.out / "live.png")
        browser.close()


def _draw(page: Any) -> None:
    box = page.locator("canvas").first.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in DRAWN]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()
    page.wait_for_timeout(1500)


def main(args: list[str] | None = None) -> int:
    return run_command(Gallery, photograph, args)


if __name__ == "__main__":
    sys.exit(main())
