"""Write `docs/openapi.json`, the merged description of every HTTP function; `--check` refuses a stale one.

python -m local.docs.openapi [--check]
"""

import importlib
import sys
from pathlib import Path

from fastapi import FastAPI

from shared.web.openapi import as_text, describe

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "openapi.json"


def apps() -> list[FastAPI]:
    """Return the application of every function that has one, ordered by name."""
    names = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
    modules = [importlib.import_module(f"functions.{name}.app") for name in names]
    found = [getattr(module, "app", None) for module in modules]
    return [app for app in found if isinstance(app, FastAPI)]


def main(arguments: list[str]) -> int:
    """Write or check the document; return 1 if the committed one is stale."""
    text = as_text(describe(apps()))
    if "--check" not in arguments:
        TARGET.write_text(text)
        return 0
    if TARGET.is_file() and TARGET.read_text() == text:
        return 0
    print("docs/openapi.json is stale: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
