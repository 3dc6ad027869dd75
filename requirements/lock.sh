#!/usr/bin/env bash
# Write the lock files anew from pyproject.toml: versions and hashes for every platform, no addresses.
# The largest set is solved first and constrains the others, so that the first three agree. What the functions run is solved
# for Lambda's Python and processor alone: pip would judge a marker by the machine that builds.
set -euo pipefail
cd "$(dirname "$0")/.."
solve() { uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet "$@"; }
lock() { solve "$@" pyproject.toml; }
lock --universal --python-version 3.11 --group local --group dev --output-file requirements/dev.txt
lock --universal --python-version 3.11 --constraint requirements/dev.txt --group local --output-file requirements/local.txt
lock --python-version 3.13 --python-platform aarch64-manylinux_2_34 --constraint requirements/dev.txt --output-file requirements/runtime.txt
solve --universal --python-version 3.11 --group pyproject.toml:postgres --output-file requirements/postgres.txt
solve --universal --python-version 3.12 --group pyproject.toml:postgres-binaries --output-file requirements/postgres-binaries.txt
solve --universal --python-version 3.11 --group pyproject.toml:sam --output-file requirements/sam.txt
solve --universal --python-version 3.13 --group pyproject.toml:emulator --output-file requirements/emulator.txt
solve --universal --python-version 3.11 --group pyproject.toml:audit --output-file requirements/audit.txt
