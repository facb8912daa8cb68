"""Print the generated sections of the documentation as one line of JSON: name -> Markdown."""

from __future__ import annotations

import json
import logging
import sys

import commands
import events
import gateway_metrics
import gateway_routes
import python_names
import settings_tables

SECTIONS = {
    "commands": commands.section,
    "settings": settings_tables.installation,
    "gateway-settings": settings_tables.gateway,
    "routes": gateway_routes.section,
    "metrics": gateway_metrics.section,
    "ledger-events": events.ledger,
    "notices": events.notices,
    "triggers": events.triggers,
    "python": python_names.library,
    "airflow": python_names.airflow,
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.stdout.write("\n" + json.dumps({name: make() for name, make in SECTIONS.items()}) + "\n")
