"""Does `make audit` fail for a known vulnerability, and say so when nothing was compared?"""

import json
from typing import Any

from requirements.audit import LOCKS, Verdict, judge
from tests.running import ROOT

SOUND = {"name": "anyio", "version": "4.16.0", "vulns": []}
VULNERABLE = {
    "name": "httpx",
    "version": "0.1",
    "vulns": [
        {"id": "PYSEC-2026-1", "fix_versions": ["0.2"]},
        {"id": "PYSEC-2026-2", "fix_versions": []},
    ],
}
UNKNOWN = {"name": "uvicorn", "skip_reason": "Dependency not found on PyPI"}


def judge_packages(*packages: dict[str, Any]) -> Verdict:
    return judge(json.dumps({"dependencies": packages, "fixes": []}), "")


class TestJudge:
    def test_a_vulnerability_fails_and_names_the_version_that_fixes_it(self) -> None:
        verdict = judge_packages(SOUND, VULNERABLE)
        assert verdict.status == 1
        assert verdict.lines == (
            "httpx 0.1: PYSEC-2026-1; fixed in 0.2",
            "httpx 0.1: PYSEC-2026-2; fixed in no version yet",
            "Packages compared: 2; known vulnerabilities: 2.",
        )

    def test_what_was_not_compared_is_named(self) -> None:
        verdict = judge_packages(SOUND, UNKNOWN)
        assert verdict == (("Packages compared: 1; known vulnerabilities: 0.", "Not compared: uvicorn."), 0)  # fmt: skip

    def test_an_index_without_advisories_is_no_clean_bill(self) -> None:
        (line,) = judge_packages(UNKNOWN).lines
        assert line.startswith("Skipped: known vulnerabilities were not compared")

    def test_no_network_is_no_clean_bill(self) -> None:
        verdict = judge("", "requests.exceptions.ConnectionError: Max retries exceeded")
        assert verdict.status == 0
        assert "cannot be reached" in verdict.lines[0]

    def test_a_report_that_cannot_be_read_fails(self) -> None:
        verdict = judge("", "Traceback\nKeyError: 'x'")
        assert verdict.status == 1
        assert verdict.lines[-1] == "KeyError: 'x'"


def test_both_lock_files_exist() -> None:
    assert all((ROOT / "requirements" / name).is_file() for name in LOCKS)
