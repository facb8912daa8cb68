"""Checks side by side, each for as long as its limit and no longer.

A call that never comes back cannot be ended in Python, only be left behind: its thread is a daemon, and
another takes its place.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from homeostat.config.errors import ConfigError, HomeostatError
from homeostat.config.redaction import masker
from homeostat.doctor.check import Check, Finding, NotAllowed, NotLookedAt, Probe, broken, skipped, warning

_THREADS = 16
_Told = Callable[[Probe, Check], None]


def run(probes: Sequence[Probe], told: _Told | None = None, *, threads: int = _THREADS) -> list[Check]:
    """Make all checks; returns one per probe, in the order of the probes.

    Parameters
    ----------
    probes
        What to look at.
    told
        Called with each probe as it is done.
    threads
        How many are looked at side by side.
    """
    ward = _Ward(probes)
    for _ in range(min(threads, len(probes))):
        ward.start_thread()
    found: dict[int, Check] = {}
    while len(found) < len(probes):
        try:
            n, check = ward.done.get(timeout=ward.patience())
        except queue.Empty:
            for n in ward.overdue():
                ward.start_thread()
                ward.done.put((n, _check(probes[n], _silent(probes[n]))))
            continue
        if n not in found:  # one that was given up may come back after all
            found[n] = check
            if told is not None:
                told(probes[n], check)
    return [found[n] for n in range(len(probes))]


class _Ward:
    """Who is being looked at, and since when."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._waiting = iter(range(len(probes)))
        self._ends: dict[int, float] = {}
        self._lock = threading.Lock()
        self.done: queue.Queue[tuple[int, Check]] = queue.Queue()

    def start_thread(self) -> None:
        threading.Thread(target=self._work, name="doctor", daemon=True).start()

    def patience(self) -> float:
        """Seconds until the next one is overdue."""
        with self._lock:
            return max(min(self._ends.values(), default=0.1) - time.monotonic(), 0.01)

    def overdue(self) -> Iterable[int]:
        """Those whose time is up, each once."""
        with self._lock:
            late = [n for n, end in self._ends.items() if end <= time.monotonic()]
            for n in late:
                del self._ends[n]
            return late

    def _work(self) -> None:
        while True:
            with self._lock:
                n = next(self._waiting, None)
                if n is None:
                    return
                self._ends[n] = time.monotonic() + self._probes[n].limit
            check = _check(self._probes[n], _finding(self._probes[n]))
            with self._lock:
                given_up = self._ends.pop(n, None) is None
            self.done.put((n, check))
            if given_up:  # another thread has taken this one's place
                return


def _finding(probe: Probe) -> Finding:
    try:
        return probe.look()
    except NotLookedAt as why:
        return skipped(str(why))
    except NotAllowed as action:
        return warning(
            f"not looked at: not allowed to ({action})",
            "attach the policy of `terraform output airflow_policy_arn` to the role of whoever asks",
        )
    except ConfigError as error:
        return broken(str(error), probe.cure or "the sentence says what would be right")
    except HomeostatError as error:
        return broken(str(error), probe.cure or "once that is put right, ask again")
    except Exception as error:  # noqa: BLE001  # one check that fails must not hide what the others found
        return broken(f"the check itself failed: {type(error).__name__}: {error}", probe.cure)


def _silent(probe: Probe) -> Finding:
    sentence = f"no answer within {probe.limit:.0f} s"
    return broken(sentence, probe.cure or "is it running, and does a firewall swallow what is sent there?")


def _check(probe: Probe, finding: Finding) -> Check:
    clean = masker()
    return Check(
        name=probe.name,
        about=clean(probe.about),
        state=finding.state,
        sentence=clean(finding.sentence),
        cure=clean(finding.cure),
    )
