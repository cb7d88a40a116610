#!/usr/bin/env bash
# Sets everything up and passes all checks: ruff's lint and format, mypy, then pytest.
# Further arguments go to pytest, e.g. tests/test_evaluation -k luna16.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
