from http import HTTPStatus

import pytest

from shared.core.phrases import phrase_of
from tests.running import ROOT


def test_renamed_ones_keep_their_names() -> None:
    """On Python 3.13 titles said "Unprocessable Content", and docs/openapi.json was called stale."""
    assert [phrase_of(status) for status in (404, 413, 422)] == [
        "Not Found",
        "Request Entity Too Large",
        "Unprocessable Entity",
    ]
    assert all(phrase_of(status) for status in HTTPStatus)


@pytest.mark.parametrize("folder", ["functions", "shared"])
def test_nobody_asks_the_version_of_python(folder: str) -> None:
    """400 and 404 are called the same everywhere."""
    asking = [
        str(file.relative_to(ROOT))
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "phrases.py" and "HTTPStatus(status).phrase" in file.read_text()
    ]
    assert asking == []
