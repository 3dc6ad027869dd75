"""Does `make` offer what the README promises?"""

import re
import subprocess

from layers.build import ROOT

PROMISED = {"run", "demo", "test", "check", "bench", "build", "clean", "new-provider"}


class TestHelp:
    def test_it_lists_every_promised_target(self) -> None:
        listed = subprocess.run(
            ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        ).stdout
        names = {line.split()[0] for line in listed.splitlines()}
        assert names >= PROMISED

    def test_every_target_of_the_readme_exists(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
        named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
        assert named <= targets
