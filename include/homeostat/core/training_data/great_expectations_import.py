"""Imports Great Expectations so that an installed PySpark cannot end the process.

Great Expectations tries ``pyspark.sql.connect`` at its import. PySpark 4 takes a process whose main module
has no file (a fork server, ``python -c``) for a run of its doctests, and calls ``sys.exit`` there when the
packages of Spark Connect are missing. Nothing here uses Spark Connect: during the import it counts as not
installed.
"""

import sys

_MODULE = "pyspark.sql.connect"

_hidden = _MODULE not in sys.modules
if _hidden:
    sys.modules[_MODULE] = None  # type: ignore[assignment]  # as the import system marks a missing module
try:
    import great_expectations  # noqa: F401
finally:
    if _hidden:
        del sys.modules[_MODULE]
