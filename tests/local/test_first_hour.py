"""Does every command of docs/first-hour.md do what the page says? Finding 6.1."""

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT, RunningSystem

PAGE = ROOT / "docs" / "first-hour.md"
_BLOCK = re.compile(r"```(bash|text)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, list[str]]]:
    """Return each block of commands with the lines that the page promises after it."""
    found: list[tuple[str, list[str]]] = []
    for kind, text in _BLOCK.findall(PAGE.read_text()):
        if kind == "bash":
            found.append((text, []))
        else:
            found[-1][1].extend(text.splitlines())
    return found


@pytest.fixture
def system() -> Iterator[RunningSystem]:
    with tempfile.TemporaryDirectory(prefix="roost-") as home:
        Path(home).chmod(0o755)  # where we are root, PostgreSQL runs as another user
        running = RunningSystem(Path(home))
        yield running
        running.end(signal.SIGINT)


def here(text: str, system: RunningSystem) -> str:
    """Put this system's addresses and home in the place of those on the page."""
    return (
        text.replace("http://127.0.0.1:3000", system.details["url"])
        .replace("http://127.0.0.1:3001", system.details["sandboxUrl"])
        .replace(".roost/local.json", str(system.home / "local.json"))
    )


def test_every_command_does_what_the_page_says(system: RunningSystem, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("the page's commands need curl, which this machine does not have")
    assert len(blocks()) >= 8
    script = "set -eu\n"
    for number, (commands, _) in enumerate(blocks()):
        script += f"echo '--- {number}'\n{here(commands, system)}\necho\n"

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{system.said()}"
    said = re.split(r"^--- \d+$", done.stdout, flags=re.MULTILINE)[1:]
    for (commands, promised), output in zip(blocks(), said, strict=True):
        for line in promised:
            assert here(line, system) in output, f"after\n{commands}\n{output}"
