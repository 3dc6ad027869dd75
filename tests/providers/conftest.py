"""What every test of a provider stands on: platforms faked at the transport, and a storage of files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from tests.providers.builders import Storage

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def platform() -> Iterator[respx.MockRouter]:
    """The platform: whatever is not arranged is refused, and what is arranged need not be asked for."""
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def storage() -> Storage:
    return Storage()


def sample(slug: str, name: str, status: int = 200, **headers: str) -> httpx.Response:
    """Answer with a recorded, redacted body from `samples/<slug>/<name>.json`."""
    body: Any = json.loads((SAMPLES / slug / f"{name}.json").read_text())
    return httpx.Response(status, json=body, headers=headers)
