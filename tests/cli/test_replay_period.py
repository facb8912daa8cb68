"""Which rows `homeostat replay` sends: until now, unless --until or --live says otherwise."""

from __future__ import annotations

import http.server
import json
import threading
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from homeostat.cli.commands import replay_rows
from homeostat.config import Settings

MODEL = """
name: sample
task: classification
pipeline: pipeline.py:build
source: {kind: loader, loader: pipeline.py:load}
schema: {label: {name: y, delay: 1h}, features: {x: {type: number}}}
"""
# As the simulator of pump_fault: rows of any time, also later than now; 36 hours where no end is asked for.
PIPELINE = """
from datetime import UTC, datetime, timedelta

import pandas as pd


def load(start=None, end=None):
    start = start or (end or datetime.now(UTC)) - timedelta(hours=36)
    end = end or start + timedelta(hours=36)
    times = pd.date_range(start, end, freq="1h", inclusive="left")
    return pd.DataFrame({"timestamp": times, "x": 1.0, "y": 0})
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Predicts 0 for every row, and keeps the times of the rows."""

    def do_GET(self):
        self._answer({})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "dataframe_split" in body:
            frame = body["dataframe_split"]
            stamp = frame["columns"].index("timestamp")
            self.server.times += [datetime.fromisoformat(row[stamp]) for row in frame["data"]]
            self._answer({"predictions": [0] * len(frame["data"])})
        else:
            self._answer({})

    def _answer(self, body):
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.times = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def replay(gateway, tmp_path, capsys):
    """Replay the sample model; return the times of the rows that were sent, and what was printed."""
    folder = tmp_path / "models" / "sample"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    settings = Settings.from_env(
        {"HOMEOSTAT_HOME": str(tmp_path), "HOMEOSTAT_MODELS": str(tmp_path / "models")}
        | {"HOMEOSTAT_GATEWAY": f"http://127.0.0.1:{gateway.server_port}"}
    )

    def run(*, since="", until="", data=None, live=False):
        between = (since, until)
        options = {"rate": None, "concurrency": 1, "as_json": False}
        replay_rows(settings, "sample", data, between=between, live=live, **options)
        return gateway.times, capsys.readouterr()

    return run


def hours(count):
    return timedelta(hours=count)


def test_rows_since_a_time_end_now(replay):
    now = datetime.now(UTC)
    sent, _ = replay(since=(now - hours(50.5)).isoformat())
    assert len(sent) == 51  # also those more than 36 hours after the start
    assert now - hours(1) < max(sent) <= datetime.now(UTC)


def test_rows_without_a_period_end_now(replay):
    now = datetime.now(UTC)
    sent, _ = replay()
    assert len(sent) == 36
    assert now - hours(36) <= min(sent) < max(sent) <= datetime.now(UTC)


def test_rows_after_now_are_sent_where_until_asks_for_them(replay):
    now = datetime.now(UTC)
    sent, _ = replay(since=(now - hours(2.5)).isoformat(), until=(now + hours(2.4)).isoformat())
    assert len(sent) == 5
    assert max(sent) > now + hours(1)


def write_rows(tmp_path):
    """Write five rows: three of the past, two later than now."""
    now = datetime.now(UTC)
    times = [now + hours(count) for count in (-3, -2, -1, 1, 2)]
    pd.DataFrame({"timestamp": times, "x": 1.0, "y": 0}).to_csv(tmp_path / "rows.csv", index=False)
    return str(tmp_path / "rows.csv")


def test_rows_of_a_file_after_now_are_left_out_and_counted(replay, tmp_path):
    began = datetime.now(UTC)
    sent, said = replay(data=write_rows(tmp_path))
    assert len(sent) == 3
    assert max(sent) < began
    assert "not sent: 2 rows after now" in " ".join(said.out.split())


def test_live_rows_may_have_any_time(replay, tmp_path):
    began = datetime.now(UTC)
    sent, said = replay(data=write_rows(tmp_path), live=True)
    assert len(sent) == 5
    assert began <= min(sent) <= max(sent) <= datetime.now(UTC)
    assert "not sent" not in said.out
