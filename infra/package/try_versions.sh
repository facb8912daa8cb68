#!/usr/bin/env bash
# Tries the ends of the ranges in pyproject.toml: for each Python of this machine, the lowest and the newest version
# of each direct dependency, with the tests of profiles, drift and decisions, and those of the MLflow adapter.
#
# Usage: try_versions.sh UV [PYTHON...], such as: try_versions.sh .venv-lock/bin/uv 3.11 3.12
set -euo pipefail
cd "$(dirname "$0")/../.."
uv=$1
shift
suite=(tests/core/drift tests/core/profile tests/core/trigger tests/core/gate tests/cli/drift
	tests/adapters/test_registry_contract.py tests/adapters/test_history_contract.py)
failed=()

# A version manager's shim can be on PATH for a Python that is not installed, so each is run.
find_python() {
	local python
	for python in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python3; do
		"$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$1" >/dev/null 2>&1 || continue
		command -v "$python" && return
	done
	return 1
}

try() { # a name, the strategy of resolution, and a Python; `&&`, because `set -e` is off inside `try ... || ...`
	local venv=.venv-versions/$1
	"$uv" venv --quiet --clear --python "$3" "$venv" &&
		# Only wheels: an old version without one for this Python would be compiled.
		"$uv" pip install --quiet --compile-bytecode --python "$venv" --only-binary :all: --resolution "$2" \
			--requirements pyproject.toml --extra mlflow --extra train --extra client --extra aws &&
		"$uv" pip install --quiet --python "$venv" pytest pytest-timeout pytest-xdist hypothesis "moto[server]" &&
		"$uv" pip list --quiet --python "$venv" --format freeze |
		grep -E '^(numpy|scipy|pandas|pyarrow|pydantic|typer|mlflow|scikit-learn)==' &&
		PYTHONPATH=include:plugins "$venv/bin/python" -m pytest -q -p no:cacheprovider -o filterwarnings=default \
			-m "not exhaustive" "${suite[@]}"
}

(($#)) || set -- 3.11 3.12 3.13
for version in "$@"; do
	if ! python=$(find_python "$version"); then
		echo "Python $version: not on this machine, not tried"
		continue
	fi
	for strategy in lowest-direct highest; do
		echo "Python $version, $strategy"
		try "$version-$strategy" "$strategy" "$python" || failed+=("$version-$strategy")
	done
done
if ((${#failed[@]})); then
	echo "Did not hold: ${failed[*]}" >&2
	exit 1
fi
