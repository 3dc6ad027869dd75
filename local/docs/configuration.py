"""Writes `docs/configuration.md`, the list of all settings, from `shared/core/config.py`.

python -m local.docs.configuration            write the page
python -m local.docs.configuration --check    fail if the page does not match the code
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from shared.core.config import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

_HEAD = """# Configuration

Made from `shared/core/config.py` by `make docs`; change it there.

Every setting is an environment variable, and the same class reads them in AWS, on a laptop and in tests. A value that
is invalid stops the start with a message that names the variable. In AWS `template.yaml` sets the variables;
the values that an environment can choose are parameters in `samconfig.toml`. Locally the runtime sets what it provides
itself, and a variable that you export before `make run` wins. A secret is never a setting: a setting names the secret.

| variable | default | effect | needed by |
| --- | --- | --- | --- |
"""


def markdown() -> str:
    """Return the page's text, one row per setting in the order of the code."""
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` report whether it is current; return the exit status."""
    if list(arguments) != ["--check"]:
        PAGE.write_text(markdown())
        return 0
    if not PAGE.exists() or PAGE.read_text() != markdown():
        print("docs/configuration.md does not match the code; run `make docs`.", file=sys.stderr)
        return 1
    return 0


def _row(name: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    needed_by = extra["needed_by"] if isinstance(extra, dict) else ""
    effect = f"{field.description}{_choices(field.annotation)}".replace("|", "\\|")
    return f"| `{name.upper()}` | {_default(field.default)} | {effect} | {needed_by} |\n"


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is not Literal:
        return ""
    # The empty choice means the default, which the description explains.
    choices = [f"`{choice}`" for choice in get_args(annotation) if choice != ""]
    return f" One of {', '.join(choices)}."


def _default(value: Any) -> str:
    if value in ("", (), frozenset(), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
