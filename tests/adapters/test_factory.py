"""Ports built from settings, imports that this must not cause, and the small adapters."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import homeostat
from homeostat.adapters import build_ports, fake_ports
from homeostat.adapters.clock import FakeClock, SystemClock
from homeostat.adapters.notifier import LogNotifier, MemoryNotifier
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.ports import Notice, NoticeKind, Ports

NOTICE = Notice(NoticeKind.PROMOTED, "pump", "Version 3 serves", "It passed its canary.")


def loaded_after(code: str) -> list[str]:
    """Return the heavy packages that a new interpreter has imported after running the code."""
    heavy = ("mlflow", "boto3", "sqlalchemy", "pandas", "numpy", "pyarrow", "sklearn")
    code = f"import sys; {code}; print(*[m for m in {heavy} if m in sys.modules])"
    env = os.environ | {"PYTHONPATH": str(Path(homeostat.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def settings(tmp_path, **env: str) -> Settings:
    return Settings.from_env({"HOMEOSTAT_STATE": str(tmp_path)} | env)


def test_real_ports_are_built_without_any_service(tmp_path, free_port):
    ports = build_ports(settings(tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}/"))
    ports.store.put("a", b"1")
    assert ports.ledger.read("pump").revision == 0
    assert (tmp_path / "store" / "a").read_bytes() == b"1"
    assert (tmp_path / "ledger.db").exists()
    assert isinstance(ports.notifier, LogNotifier)


def test_a_notifier_may_be_given(tmp_path):
    notifier = MemoryNotifier()
    assert build_ports(settings(tmp_path), notifier=notifier).notifier is notifier


def test_an_invalid_setting_is_named(tmp_path):
    with pytest.raises(ConfigError, match="HOMEOSTAT_STORE"):
        build_ports(settings(tmp_path, HOMEOSTAT_STORE="C:/store"))
    with pytest.raises(ConfigError, match="HOMEOSTAT_LEDGER"):
        build_ports(settings(tmp_path, HOMEOSTAT_LEDGER="ledger"))


def test_fake_ports_accept_replacements():
    store = MemoryStore()
    ports = fake_ports(store=store, start=datetime(2030, 1, 1, tzinfo=UTC))
    assert isinstance(ports, Ports)
    assert ports.store is store
    assert ports.clock.now() == datetime(2030, 1, 1, tzinfo=UTC)
    with pytest.raises(TypeError, match="tracker"):
        fake_ports(tracker=1)


def test_importing_the_adapters_imports_no_sdk():
    assert loaded_after("import homeostat.adapters") == []


def test_building_ports_does_not_import_mlflow(tmp_path):
    code = (
        "from homeostat.adapters import build_ports; from homeostat.config import Settings; "
        f"build_ports(Settings.from_env({{'HOMEOSTAT_STATE': {str(tmp_path)!r}}}))"
    )
    assert not {"mlflow", "boto3", "sklearn"} & set(loaded_after(code))


def test_the_log_notifier_writes_notices_to_the_log(caplog):
    with caplog.at_level(logging.WARNING, "homeostat.notices"):
        LogNotifier().notify(["ops"], NOTICE)
    assert "Version 3 serves [pump] promoted: It passed its canary." in caplog.text


def test_the_memory_notifier_records_notices():
    notifier = MemoryNotifier()
    notifier.notify(["ops"], NOTICE)
    assert notifier.sent == [(("ops",), NOTICE)]
    assert notifier.of("promoted") == [NOTICE]
    assert notifier.of("rolled_back") == []


def test_clocks_return_utc():
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert SystemClock().now().tzinfo is UTC
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.advance(timedelta(hours=1))
    assert clock.now() == datetime(2026, 1, 1, 1, tzinfo=UTC)
    clock.set(datetime(2027, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2027, 1, 1, tzinfo=UTC)
