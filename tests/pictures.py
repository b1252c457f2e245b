"""Pictures that no test looks at. A conftest imports the fixture: from tests.pictures import unseen_pictures"""

import io

import pytest
from matplotlib.figure import Figure
from PIL import Image


@pytest.fixture
def unseen_pictures(monkeypatch):
    """Every figure is saved as a blank picture: to draw those of a page takes longer than what such a test is about.

    What fixtures of a module or of the session write has its pictures, so that no command goes without."""
    blank = io.BytesIO()
    Image.new("RGB", (130, 130)).save(blank, format="png")
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: file.write(blank.getvalue()))
