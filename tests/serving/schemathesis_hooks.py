"""What schemathesis is told beyond the API's description; loaded by name, see test_protocols_openapi."""

from datetime import UTC, datetime

import schemathesis
from hypothesis import strategies as st

_FIRST, _LAST = datetime(1970, 1, 1), datetime(2026, 1, 1)  # noqa: DTZ001  # the strategy wants naive bounds

# A schema can say date-time, but not that it lies in the past.
schemathesis.openapi.format(
    "date-time", st.datetimes(_FIRST, _LAST).map(lambda at: at.replace(tzinfo=UTC).isoformat())
)
