#!/bin/sh
# Prints the first Python of 3.11 to 3.13 that runs and can create a virtualenv. Each is run, not only looked up: a
# version manager's shim can be on PATH for a Python that is not installed.
for python in python3.13 python3.12 python3.11 python3; do
	if "$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		>/dev/null 2>&1; then
		command -v "$python"
		exit 0
	fi
done
cat >&2 <<'TEXT'
No Python 3.11, 3.12 or 3.13 with the venv module found.
On Debian: apt-get install python3 python3-venv
TEXT
exit 1
