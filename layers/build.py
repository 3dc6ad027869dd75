"""Builds the artifacts that Lambda runs: one folder per function, and the layers with their libraries.

    python -m layers.build                       everything below build/, with a template that `sam deploy` takes
    python -m layers.build --host                the same below build-host/, with wheels for this machine's processor
    python -m layers.build IdentityFunction FOLDER   one artifact; `sam build` calls this through `make build-IdentityFunction`

A function's folder contains its own `app.py` and the whole of `shared/`. `shared/` is not a layer, because a version, and
so a SnapStart snapshot, is rebuilt only when the function's own folder changes. For the same reason the folder contains the
digest of the lock file. Wheels are fetched for the Python and processor of the Lambda runtime, not for those of this machine.
"""

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from local.intrinsics import read_yaml

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
HOST_BUILD = ROOT / "build-host"
LOCK = ROOT / "requirements" / "runtime.txt"
CERTIFICATES = ROOT / "layers" / "rds-ca.pem"

RUNTIME = "3.13"
# The wheel tags that the runtime's Amazon Linux 2023 can load (glibc 2.34). Source: docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html, read 2026-11.
LIBRARIES = ("manylinux_2_34", "manylinux_2_28", "manylinux2014")
PROCESSOR = "aarch64"
# Source: docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, read 2026-11.
MAX_UNZIPPED_BYTES = 250 * 1024**2

# botocore carries a description of every AWS service; these are the ones that `shared/aws` calls.
AWS_SERVICES = frozenset({"kms", "s3", "scheduler", "secretsmanager", "sesv2", "sqs"})
# The distributions in each layer; DependenciesLayer has the others.
PICTURES = frozenset({"pyvips", "pyvips-binary"})
# Needed only by the SDK of the Model Context Protocol.
TOOLS = frozenset(
    {
        "attrs", "click", "httpcore2", "httpx2", "jsonschema", "jsonschema-specifications", "mcp", "mcp-types",
        "referencing", "rpds-py", "sse-starlette", "truststore", "uvicorn",
    }
)  # fmt: skip
SPECIAL_LAYERS = {"PicturesLayer": PICTURES, "ToolsLayer": TOOLS}
# Published as source only. Its package is plain Python; the compiled half is in pyvips-binary.
PLAIN_SOURCES = frozenset({"pyvips"})
# The data files that functions read.
FILES = {"root": ("docs/openapi.json",)}
NOT_RUN = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h")
FOLDERS_NOT_RUN = ("tests", "testing/suite", "bin")


class BuildRefused(Exception):
    """The requested artifact cannot be built; the message says why."""


@dataclass(frozen=True)
class Artifact:
    """A built folder with the sizes that Lambda counts: the bytes of its files, and those of their archive."""

    name: str
    layers: tuple[str, ...]
    unzipped_bytes: int
    zipped_bytes: int


@dataclass(frozen=True, order=True)
class Pin:
    """One distribution of the lock file: its name and its lines, including hashes."""

    name: str
    text: str


def main(arguments: list[str]) -> int:
    """Build one artifact or all of them; return the exit status."""
    try:
        if arguments == ["--host"]:
            build_all(HOST_BUILD, processor=_own_processor())
        elif arguments:
            name, folder = arguments
            build(name, Path(folder), read_template())
        else:
            build_all(BUILD)
            print("Deploy it: make deploy stage=dev")
    except BuildRefused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


def build_all(target: Path, *, processor: str = PROCESSOR) -> None:
    """Build every artifact of the template, write `template.yaml` beside them and print the sizes.

    Raises:
        BuildRefused: a function would exceed Lambda's size limit.
    """
    template = read_template()
    shutil.rmtree(target, ignore_errors=True)
    names = list(_built_resources(template))
    for name in names:
        build(name, target / name, template, processor=processor)
    _write_template(template, target)
    artifacts = {name: _measured(name, template, target) for name in names}
    print(_table(artifacts))
    _check_sizes(artifacts)
    if _interpreter() is None:
        print(
            f"No Python {RUNTIME} on this machine, so the bytecode is left out. A cold start takes 3 to 4 times as long."
        )


def read_template() -> dict[str, Any]:
    """Return the template as plain dictionaries, with intrinsic functions in their long form."""
    return read_yaml(ROOT / "template.yaml")


def build(name: str, folder: Path, template: dict[str, Any], *, processor: str = PROCESSOR) -> None:
    """Build the artifact of the resource `name` in `folder`, which is created if it does not exist.

    Raises:
        BuildRefused: the template has no such function or layer, or a needed file is missing.
    """
    resource = template["Resources"].get(name)
    if resource is None or name not in _built_resources(template):
        raise BuildRefused(f"template.yaml has no function or layer named {name}.")
    folder.mkdir(parents=True, exist_ok=True)
    if names := SPECIAL_LAYERS.get(name):
        _build_layer(folder, {pin for pin in _pins() if pin.name in names}, processor)
    elif name == "DependenciesLayer":
        special = frozenset().union(*SPECIAL_LAYERS.values())
        _build_layer(folder, {pin for pin in _pins() if pin.name not in special}, processor)
        shutil.copy(CERTIFICATES, folder)
    else:
        _build_function(folder, handler=resource["Properties"]["Handler"])


def _build_function(folder: Path, *, handler: str) -> None:
    package = Path(*handler.split(".")[:2])
    if not (ROOT / package / "app.py").is_file():
        raise BuildRefused(f"{package}/app.py is missing, and template.yaml names {handler}.")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    (folder / "functions").mkdir(exist_ok=True)
    shutil.copy(ROOT / "functions" / "__init__.py", folder / "functions")
    shutil.copytree(ROOT / package, folder / package, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(ROOT / "shared", folder / "shared", ignore=ignored, dirs_exist_ok=True)
    for file in FILES.get(package.name, ()):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    (folder / "requirements.sha256").write_text(
        hashlib.sha256(LOCK.read_bytes()).hexdigest() + "\n"
    )
    _compile(folder, runs_at="/var/task")


def _build_layer(folder: Path, pins: set[Pin], processor: str) -> None:
    python = folder / "python"
    for_lambda = (
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", RUNTIME),
        *(part for each in LIBRARIES for part in ("--platform", f"{each}_{processor}")),
    )
    wheels = {pin for pin in pins if pin.name not in PLAIN_SOURCES}
    _pip("install", "--no-compile", "--upgrade", *for_lambda, "--target", str(python), pins=wheels)
    for pin in sorted(pins - wheels):
        _copy_source(pin, python)
    _trim(python)
    _compile(python, runs_at="/opt/python")


def _copy_source(pin: Pin, python: Path) -> None:
    """Copy only the package's files out of its source archive."""
    with tempfile.TemporaryDirectory() as fetched:
        _pip("download", "--no-binary", pin.name, "--dest", fetched, pins={pin})
        (source,) = Path(fetched).iterdir()
        with tarfile.open(source) as archive:
            for member in archive.getmembers():
                _root, *path = PurePosixPath(member.name).parts
                content = archive.extractfile(member) if member.isfile() else None
                if content is None or ".." in path or path[:1] != [pin.name]:
                    continue
                target = python.joinpath(*path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def _pip(command: str, *options: str, pins: set[Pin]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("".join(pin.text for pin in sorted(pins)))
        wanted.flush()
        _run(
            *(sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", *options, "--requirement", wanted.name),
        )


def _pins() -> list[Pin]:
    blocks = re.findall(r"^[a-z0-9].*?(?:\\\n.*?)*$\n?", LOCK.read_text(), re.MULTILINE)
    return [Pin(name=re.split(r"[=\[ ]", block, maxsplit=1)[0], text=block) for block in blocks]


def _trim(python: Path) -> None:
    for service in (python / "botocore" / "data").glob("*/"):
        if service.name not in AWS_SERVICES:
            shutil.rmtree(service)
    for pattern in NOT_RUN:
        for file in python.rglob(pattern):
            file.unlink()
    for ending in FOLDERS_NOT_RUN:
        for folder in [found for found in python.rglob(ending) if found.is_dir()]:
            shutil.rmtree(folder)


def _compile(folder: Path, *, runs_at: str) -> None:
    """Write bytecode that is valid whatever the files' times are: Lambda's code folder is read-only, so it cannot be rewritten."""
    interpreter = _interpreter()
    if interpreter is not None:
        _run(
            *(interpreter, "-m", "compileall", "-q", "-j", "0"),
            *(
                "--invalidation-mode",
                "unchecked-hash",
                "-s",
                str(folder),
                "-p",
                runs_at,
                str(folder),
            ),
        )


@functools.cache
def _interpreter() -> str | None:
    """Find a Python of the runtime's minor version: this one, or a working one with that name."""
    asked = ("-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    for command in (sys.executable, f"python{RUNTIME}"):
        if (path := shutil.which(command)) is None:
            continue
        answer = subprocess.run(
            (path, *asked),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=_environment(),
        )
        if answer.returncode == 0 and answer.stdout.strip() == RUNTIME:
            return path
    return None


def _own_processor() -> str:
    """Return this machine's processor in the spelling of wheel tags.

    Raises:
        BuildRefused: wheels for Lambda's system do not run on this one.
    """
    processor = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    if sys.platform != "linux":
        raise BuildRefused(
            "layers.build --host needs Linux, because the artifacts run on this machine."
        )
    return processor


def _environment() -> dict[str, str]:
    """Select the version for pyenv, whose shims do not start another version."""
    return {**os.environ, "PYENV_VERSION": RUNTIME}


def _built_resources(template: dict[str, Any]) -> Iterator[str]:
    kinds = ("AWS::Serverless::LayerVersion", "AWS::Serverless::Function")
    return (
        name
        for kind in kinds
        for name, found in template["Resources"].items()
        if found["Type"] == kind
    )


def _write_template(template: dict[str, Any], target: Path) -> None:
    """Write the template with each artifact's folder in place of the source; JSON is valid YAML."""
    built = json.loads(json.dumps(template))
    del built["Globals"]["Function"]["CodeUri"]
    for name in _built_resources(template):
        resource = built["Resources"][name]
        del resource["Metadata"]
        key = "ContentUri" if resource["Type"].endswith("LayerVersion") else "CodeUri"
        resource["Properties"][key] = name
    (target / "template.yaml").write_text(json.dumps(built, indent=1))


def _measured(name: str, template: dict[str, Any], target: Path) -> Artifact:
    files = [path for path in sorted((target / name).rglob("*")) if path.is_file()]
    with tempfile.TemporaryFile() as zipped:
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(target / name))
        zipped_bytes = zipped.tell()
    own = template["Resources"][name]["Properties"].get("Layers", [])
    layers = () if name.endswith("Layer") else (*template["Globals"]["Function"]["Layers"], *own)
    return Artifact(
        name=name,
        layers=tuple(layer["Ref"] for layer in layers),
        unzipped_bytes=sum(path.stat().st_size for path in files),
        zipped_bytes=zipped_bytes,
    )


def _table(artifacts: dict[str, Artifact]) -> str:
    lines = [f"{'artifact':<24}{'unzipped MB':>12}{'zipped MB':>12}"]
    for each in artifacts.values():
        lines.append(
            f"{each.name:<24}{each.unzipped_bytes / 1e6:>12.1f}{each.zipped_bytes / 1e6:>12.1f}"
        )
    return "\n".join(lines)


def _check_sizes(artifacts: dict[str, Artifact]) -> None:
    for each in artifacts.values():
        total = each.unzipped_bytes + sum(artifacts[layer].unzipped_bytes for layer in each.layers)
        if total > MAX_UNZIPPED_BYTES:
            raise BuildRefused(
                f"{each.name} is {total} bytes with its layers; Lambda takes {MAX_UNZIPPED_BYTES}."
            )


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, timeout=900, env=_environment())
    except subprocess.CalledProcessError as failed:
        raise BuildRefused(
            f"{' '.join(command[:4])} ... failed with status {failed.returncode}."
        ) from failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
