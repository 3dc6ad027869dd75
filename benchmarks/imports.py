"""Measures a cold start: the processor time, modules and memory of importing each function, each in its own process.

Packages that are installed only for development are hidden, because some libraries load more if they find more.
"""

import functools
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, ratio
from layers.build import TOOLS

ROOT = Path(__file__).parents[1]
_SHIPPED = ROOT / "requirements" / "runtime.txt"
EMPTY, BARE, FIRST_BATCH = (
    "(empty interpreter)",
    "(bare FastAPI and Mangum)",
    "publish, first batch",
)
# Modules (by prefix) that only the functions that need them may load.
HEAVY = ("fastapi", "starlette", "mangum", "stripe", "jinja2", "PIL", "pyvips", "shared.providers.platforms")  # fmt: skip
# What the first batch needs after the import: a platform, its HTTP client, and the connection to the database.
_FIRST_BATCH = """
import functions.publish.app
from shared.channels.connection import http_client
from shared.db.session import engine
from shared.providers.registry import provider
http_client(provider("mastodon").spec)
engine().connect().close()
"""
_HIDE = "import sys; sys.modules.update(dict.fromkeys({names!r}))\n"
# At its end, the process reports what it used.
_TELL = """
import json, resource, sys, time
used, names = time.process_time(), [name for name, module in sys.modules.items() if module]
try:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(json.dumps({"cpu": used, "modules": names, "peak_kb": peak}))
"""
_TIMEOUT_SECONDS = 60
# The functions whose imports are listed module by module, and the number of modules for each, slowest first.
LISTED = ("posts", "publish")
SLOWEST = 15
_IMPORT_TIME = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \| +(\S+)")


@dataclass(frozen=True, slots=True)
class Start:
    """One fresh process, from its start to the end of its imports."""

    cpu_seconds: float
    modules: tuple[str, ...]
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Imports:
    """The table, and the processor seconds that a publishing environment needs before its first batch."""

    rows: list[Row]
    first_batch_cpu_seconds: float


def functions() -> list[str]:
    """List all functions."""
    return sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


def measure(names: Sequence[str], *, rounds: int, environment: Mapping[str, str]) -> Imports:
    """Start every function, the empty interpreter and the bare function in turn, `rounds` times; return medians."""
    programs = {EMPTY: "", BARE: "import benchmarks.bare"}
    programs |= {name: f"import functions.{name}.app" for name in names}
    programs[FIRST_BATCH] = _FIRST_BATCH
    programs = {name: _HIDE.format(names=_hidden_from(name)) + program for name, program in programs.items()}  # fmt: skip
    for program in programs.values():
        _start(program, environment)  # writes missing bytecode
    taken: dict[str, list[Start]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            taken[name].append(_start(program, environment))
    cpu = {name: statistics.median(one.cpu_seconds for one in starts) for name, starts in taken.items()}  # fmt: skip
    rows = [_row(name, cpu, starts[0], taken[BARE][0]) for name, starts in taken.items()]
    return Imports(rows, cpu[FIRST_BATCH] - cpu[EMPTY])


def slowest(names: Sequence[str], *, rounds: int, environment: Mapping[str, str]) -> list[Row]:
    """List each function's slowest modules by their own import time (medians of fresh processes).

    The interpreter measures itself (`-X importtime`), which slows it, so only the shares count.
    """
    rows: list[Row] = []
    for name in names:
        program = _HIDE.format(names=_hidden_from(name)) + f"import functions.{name}.app"
        taken = [_import_times(program, environment) for _ in range(rounds + 1)][1:]
        own = {module: statistics.median(times[module][0] for times in taken if module in times)
               for module in taken[0]}  # fmt: skip
        whole = sum(own.values())
        for module in sorted(own, key=lambda each: -own[each])[:SLOWEST]:
            below = statistics.median(times[module][1] for times in taken if module in times)
            rows.append({
                "function": name,
                "module": module,
                "own ms": round(own[module] / 1000, 1),
                "share of the import": round(own[module] / whole, 3),
                "ms with its first imports": round(below / 1000, 1),
            })  # fmt: skip
    return rows


def _import_times(program: str, environment: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return each module's microseconds, alone and with the modules that it imported first."""
    done = _run(["-X", "importtime", "-c", program], environment)
    found = map(_IMPORT_TIME.match, done.stderr.splitlines())
    return {each[3]: (int(each[1]), int(each[2])) for each in found if each}


@functools.cache
def _hidden_from(function: str) -> list[str]:
    """List the installed packages that are not deployed to Lambda."""
    pinned = re.findall(r"^([\w.-]+)==", _SHIPPED.read_text(encoding="utf-8"), re.MULTILINE)
    shipped = {_normal(name) for name in pinned} - (frozenset() if function == "mcp" else TOOLS)
    return sorted(
        package
        for package, distributions in packages_distributions().items()
        if not any(_normal(one) in shipped for one in distributions)
    )


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _row(name: str, cpu: Mapping[str, float], start: Start, bare: Start) -> Row:
    loaded = [heavy for heavy in HEAVY if any(_is_below(module, heavy) for module in start.modules)]
    return {
        "function": name,
        "CPU / empty interpreter": ratio(cpu[name], cpu[EMPTY], digits=1),
        "CPU / bare function": ratio(cpu[name], cpu[BARE]),
        "modules": len(start.modules),
        "modules / bare function": ratio(len(start.modules), len(bare.modules)),
        "peak MB": round(start.peak_mb),
        "loads": ", ".join(loaded),
        "CPU ms": round(cpu[name] * 1000),
    }


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _start(program: str, environment: Mapping[str, str]) -> Start:
    done = _run(["-c", program + _TELL], environment)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Start(measured["cpu"], tuple(measured["modules"]), measured["peak_kb"] / 1024)


def _run(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[-1]}\n{done.stderr}")
    return done
