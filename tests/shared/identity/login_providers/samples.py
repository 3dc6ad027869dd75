"""Answers of the real providers, made here from their published descriptions, with an invented person."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "samples"


def sample(provider: str, name: str) -> Any:
    """Return `samples/<provider>/<name>.json`."""
    return json.loads((_FOLDER / provider / f"{name}.json").read_text())
