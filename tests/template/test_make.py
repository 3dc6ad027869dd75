"""Does `make` offer what the README promises?"""

import re
import subprocess
import tomllib
from typing import Any

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


class TestPipeline:
    def test_every_target_stage_and_alarm_of_the_example_exists(
        self, template: dict[str, Any]
    ) -> None:
        """Finding 7.14: there was no pipeline. An example that names what is not there is none."""
        example = (ROOT / "docs" / "pipeline.md").read_text()
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
        named = re.findall(r"^make ([a-z -]+?)(?: stage=.*)?$", example, re.MULTILINE)
        assert {"check", "test-servers", "test-deploy", "deploy"} <= {
            target for line in named for target in line.split()
        }
        assert {target for line in named for target in line.split()} <= targets
        stages = tomllib.loads((ROOT / "samconfig.toml").read_text())
        assert set(re.findall(r"stage=(\w+)", example)) == {"dev", "prod"} <= set(stages)
        alarms = re.findall(r"\$\(arn (\w+)\)", example)
        assert 0 < len(alarms) <= 5  # as many triggers as CloudFormation takes
        for name in alarms:
            assert template["Resources"][name]["Type"] == "AWS::CloudWatch::Alarm"
