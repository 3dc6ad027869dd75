"""Does the build put into each artifact what its function needs, pinned, and nothing that changes by chance?"""

import importlib.metadata
import json
import re
import ssl
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layers import build

SERVICES = re.compile(r"""\bclient\(["'](\w+)["']\)""")


class TestLock:
    def test_every_line_is_pinned_and_hashed(self) -> None:
        pins = build._pins()
        assert len(pins) > 30
        for pin in pins:
            assert re.match(rf"{re.escape(pin.name)}(\[.+\])?==", pin.text)
            assert "--hash=sha256:" in pin.text

    def test_nothing_of_the_lock_is_left_out(self) -> None:
        assert "".join(pin.text for pin in build._pins()) == build.LOCK.read_text()

    def test_no_pin_depends_on_the_machine_that_builds(self) -> None:
        # pip judges markers by the Python it runs on, not by the one it fetches for.
        for pin in build._pins():
            marker = pin.text.partition(";")[2].partition("\\")[0]
            assert not re.search(r"python_version|full_version|sys_platform|machine", marker)

    def test_the_pictures_are_in_the_lock(self) -> None:
        names = {pin.name for pin in build._pins()}
        assert names >= build.PICTURES >= build.PLAIN_SOURCES

    def test_the_layer_of_the_tools_holds_what_only_they_need(self) -> None:
        """One more there, and another function would miss it; one less, and every function would carry it."""
        declared = tomllib.loads((build.ROOT / "pyproject.toml").read_text())
        needed = {Requirement(line) for line in declared["project"]["dependencies"]}
        tools = {requirement for requirement in needed if requirement.name == "mcp"}
        assert _all_that(tools) - _all_that(needed - tools) == build.TOOLS


def _all_that(requirements: Iterable[Requirement]) -> set[str]:
    """Return the distributions that these need, and those need in turn, on the machine that runs this."""
    found, names, waiting = set[Requirement](), set[str](), list(requirements)
    while waiting:
        requirement = waiting.pop()
        if requirement in found:
            continue
        found.add(requirement)
        name = canonicalize_name(requirement.name)
        names.add(name)
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return names


class TestTrimming:
    def test_every_service_that_is_called_is_kept(self) -> None:
        called = {
            service
            for path in (build.ROOT / "shared").rglob("*.py")
            for service in SERVICES.findall(path.read_text())
        }
        assert called <= build.AWS_SERVICES
        assert "sqs" in called

    def test_only_they_are(self, tmp_path: Path) -> None:
        data = tmp_path / "botocore" / "data"
        for service in ("sqs", "ec2"):
            (data / service).mkdir(parents=True)
        (data / "endpoints.json").touch()
        build._trim(tmp_path)
        assert {path.name for path in data.iterdir()} == {"sqs", "endpoints.json"}

    def test_files_that_the_reference_serves_are_kept(self, tmp_path: Path) -> None:
        (pin,) = (pin for pin in build._pins() if pin.name == "fastapi-swagger")
        assert pin.name not in build.PICTURES | build.TOOLS  # so DependenciesLayer has it
        files = [
            tmp_path / str(file)
            for file in importlib.metadata.files(pin.name) or ()
            if file.suffix in {".css", ".js"} or file.name == "METADATA"
        ]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        build._trim(tmp_path)
        assert {file.name for file in files if file.exists()} == {
            "swagger-ui.css", "swagger-ui-bundle.js", "METADATA",
        }  # fmt: skip


class TestFunctions:
    def test_the_folder_holds_its_own_file_and_shared(
        self, tmp_path: Path, template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(build, "_compile", lambda folder, runs_at: None)
        build.build("PublishFunction", tmp_path, template)
        assert [path.name for path in sorted((tmp_path / "functions").iterdir())] == [
            "__init__.py",
            "publish",
        ]
        assert (tmp_path / "functions" / "publish" / "app.py").is_file()
        assert (tmp_path / "shared" / "core" / "config.py").is_file()
        assert not list(tmp_path.rglob("*.pyc"))

    def test_files_that_are_read_beside_the_code_come_along(
        self, tmp_path: Path, template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(build, "_compile", lambda folder, runs_at: None)
        build.build("RootFunction", tmp_path, template)
        assert json.loads((tmp_path / "docs" / "openapi.json").read_text())["openapi"]

    def test_a_new_lock_changes_the_folder(
        self, tmp_path: Path, template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(build, "_compile", lambda folder, runs_at: None)
        lock = tmp_path / "runtime.txt"
        digests = []
        for content in ("one", "two"):
            lock.write_text(content)
            monkeypatch.setattr(build, "LOCK", lock)
            build.build("PublishFunction", tmp_path / content, template)
            digests.append((tmp_path / content / "requirements.sha256").read_text())
        assert digests[0] != digests[1]

    def test_an_unknown_name_is_refused(self, tmp_path: Path, template: dict[str, Any]) -> None:
        with pytest.raises(build.BuildRefused, match="NoSuchFunction"):
            build.build("NoSuchFunction", tmp_path, template)

    def test_too_large_is_refused(self) -> None:
        layer = build.Artifact("DependenciesLayer", (), build.MAX_UNZIPPED_BYTES, 1)
        function = build.Artifact("IdentityFunction", ("DependenciesLayer",), 1, 1)
        with pytest.raises(build.BuildRefused, match="IdentityFunction"):
            build._check_sizes({each.name: each for each in (layer, function)})

    @pytest.mark.parametrize(
        ("name", "layers"),
        [
            ("IdentityFunction", ("DependenciesLayer",)),
            ("VariantsFunction", ("DependenciesLayer", "PicturesLayer")),
            ("PicturesLayer", ()),
        ],
    )
    def test_layers_count_with_the_functions_that_have_them(
        self, name: str, layers: tuple[str, ...], tmp_path: Path, template: dict[str, Any]
    ) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("pass")
        measured = build._measured(name, template, tmp_path)
        assert (measured.layers, measured.unzipped_bytes) == (layers, 4)


class TestTemplate:
    def test_the_built_template_points_at_the_artifacts(
        self, tmp_path: Path, template: dict[str, Any]
    ) -> None:
        build._write_template(template, tmp_path)
        built = json.loads((tmp_path / "template.yaml").read_text())
        for name in build._built_resources(template):
            properties = built["Resources"][name]["Properties"]
            assert name in (properties.get("CodeUri"), properties.get("ContentUri"))
        assert "CodeUri" not in built["Globals"]["Function"]


class TestCertificates:
    def test_they_are_roots_that_tls_accepts(self) -> None:
        context = ssl.create_default_context(cafile=build.CERTIFICATES)
        subjects = [str(found["subject"]) for found in context.get_ca_certs()]
        assert all("Amazon RDS" in subject for subject in subjects)
        assert any("Amazon RDS eu-central-1 Root CA RSA2048 G1" in found for found in subjects)
