"""Photograph the page of a model's health, with the story that the tests tell.

python docs/pictures/draw_health.py

Needs Playwright and Debian's package chromium.
"""  # noqa: INP001  # a script, not a module

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from health_story import NOW, failing_model  # noqa: E402  # from the tests' folder
from homeostat.adapters import fake_ports  # noqa: E402
from homeostat.adapters.clock import FakeClock  # noqa: E402
from homeostat.config import Settings  # noqa: E402
from homeostat.serving import Options, create_app  # noqa: E402

WIDTH, HEIGHT, COLOURS = 1240, 1040, 64


def serve(home: Path) -> str:
    """Serve a gateway's pages with the story's ledger on a free port; return its address."""
    ports = fake_ports(clock=FakeClock(NOW))
    failing_model(ports.ledger, "pump_fault")
    app = create_app({}, ports, Settings.from_env({"HOMEOSTAT_HOME": str(home)}), Options())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def photograph(url: str) -> bytes:
    """Return the page as PNG."""
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none as root
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(url)
        page.wait_for_selector("figure canvas")
        found = page.screenshot()
        browser.close()
    return found


def main() -> None:
    """Write health.png; few colours keep it small."""
    with tempfile.TemporaryDirectory() as folder:
        raw = photograph(f"{serve(Path(folder))}/fleet?model=pump_fault&range=7d")
    image = Image.open(io.BytesIO(raw)).convert("RGB").quantize(COLOURS)
    image.save(HERE / "health.png", optimize=True)


if __name__ == "__main__":
    main()
