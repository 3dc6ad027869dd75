"""How tests start the whole system as a developer does, and end it.

system = RunningSystem(home)
system.details["url"]
system.end(signal.SIGINT)
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class RunningSystem:
    """A system below `home`, started as a developer starts it."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        (home / "local.json").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PORT": "0",
            "ROOST_HOME": str(home),
            **(settings or {}),
        }
        for name in ("DATABASE_URL", "STAGE"):
            environment.pop(name, None)
        self.output = (home / "output").open("a+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local"],
            cwd=ROOT,
            env=environment,
            stdout=self.output,
            stderr=self.output,
        )
        deadline = time.monotonic() + 90
        while not (home / "local.json").exists():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        self.details: dict[str, Any] = json.loads((home / "local.json").read_text())

    def said(self) -> str:
        self.output.flush()
        return (self.home / "output").read_text()

    def descendants(self) -> list[int]:
        """Every process that runs below this one."""
        listed = subprocess.run(
            ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True, timeout=10
        ).stdout
        parents = {
            int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())
        }
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.output.close()
        return status
