"""What every function does before its own imports."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_collector_runs_less_often_from_the_first_import_on() -> None:
    """In a process of its own, as in Lambda: `functions` is imported before anything else of ours."""
    program = "import gc, functions; print(gc.get_threshold()[0])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == 20_000


# What only some routes of the function need. Each takes milliseconds of every cold start if it is imported at the top.
LATE = (
    "zxcvbn",
    "segno",
    "webauthn",
    "coincurve",
    "httpx",
    "shared.identity.leaked_passwords",
    "shared.channels.connection",
)


def test_identity_starts_without_what_only_some_routes_need() -> None:
    program = "import sys, functions.identity.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = set(done.stdout.split())
    assert "shared.identity.password_rules" in imported
    assert imported.isdisjoint(LATE)
