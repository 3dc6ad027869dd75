#!/usr/bin/env bash
# Write the three lock files anew from pyproject.toml: versions and hashes for every platform, no addresses.
# The largest set is solved first and constrains the others, so that all three agree.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet "$@" pyproject.toml; }
lock --group local --group dev --output-file requirements/dev.txt
lock --constraint requirements/dev.txt --group local --output-file requirements/local.txt
lock --constraint requirements/dev.txt --output-file requirements/runtime.txt
