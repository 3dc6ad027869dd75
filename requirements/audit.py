"""Compare what the lock files pin with published vulnerabilities: `.venv-audit/bin/python requirements/audit.py`.

pip-audit asks the package index for each version's advisories. Where that cannot be asked (no network, an index without
advisories), nothing was compared: the last line says so, since pip-audit itself reports that it found nothing.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
# What the functions run, and what the laptop and the tests add.
LOCKS = ("runtime.txt", "dev.txt")
EXIT_VULNERABLE = 1
_PIP_AUDIT = (sys.executable, "-m", "pip_audit")
_OPTIONS = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--timeout=10", "--format=json")  # fmt: skip
_TIMEOUT_S = 300
_UNREACHABLE = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|HTTPError"
)


class Verdict(NamedTuple):
    """What the comparison came to, in lines to print, and the process's exit status."""

    lines: tuple[str, ...]
    status: int


def main() -> int:
    """Compare both lock files; return the process's exit status."""
    try:
        verdict = judge(*_run())
    except subprocess.TimeoutExpired:
        verdict = _skipped(f"there was no answer within {_TIMEOUT_S} s")
    print("\n".join(verdict.lines))
    return verdict.status


def judge(report: str, errors: str) -> Verdict:
    """Read pip-audit's report (JSON) and what it wrote beside it.

    A package that could not be compared is named; a report that cannot be read fails unless the network is the cause.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        if _UNREACHABLE.search(errors):
            return _skipped("the package index cannot be reached")
        tail = errors.strip().splitlines()[-5:]
        return Verdict(("pip-audit ended without a report:", *tail), EXIT_VULNERABLE)
    compared = [package for package in packages if "skip_reason" not in package]
    if not compared:
        return _skipped("the package index publishes no advisories for any of them")
    found = [
        f"{package['name']} {package['version']}: {one['id']}; fixed in {', '.join(one['fix_versions']) or 'no version yet'}"
        for package in compared
        for one in package["vulns"]
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [*found, f"Packages compared: {len(compared)}; known vulnerabilities: {len(found)}."]
    if skipped:
        lines.append(f"Not compared: {', '.join(skipped)}.")
    return Verdict(tuple(lines), EXIT_VULNERABLE if found else 0)


def _skipped(reason: str) -> Verdict:
    return Verdict((f"Skipped: known vulnerabilities were not compared, since {reason}.",), 0)


def _run() -> tuple[str, str]:
    locks = [part for name in LOCKS for part in ("-r", str(FOLDER / name))]
    ended = subprocess.run(
        [*_PIP_AUDIT, *_OPTIONS, *locks],
        capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return ended.stdout, ended.stderr


if __name__ == "__main__":
    sys.exit(main())
