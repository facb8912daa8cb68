"""Checks side by side, each for as long as its limit and no longer.

A call that never comes back cannot be ended in Python, only be left behind: its thread is a daemon, and
another takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait

from homeostat.config.errors import ConfigError, HomeostatError
from homeostat.config.redaction import secret_redactor
from homeostat.doctor.check import Check, Finding, NotAllowed, Probe, Skipped, broken, skipped, warning
from homeostat.hung_calls import ReplacingThreadPool

_THREADS = 16
#: Seconds between two searches for checks that exceeded their limit.
_POLL_SECONDS = 0.05
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
    # Every call may hang and is replaced: otherwise the checks behind it would never start.
    pool = ReplacingThreadPool(
        min(threads, len(probes)) or 1, "doctor", hang_seconds=float("inf"), max_hung=len(probes)
    )
    found: dict[int, Check] = {}

    def report(n: int, finding: Finding) -> None:
        if n in found:  # the check was reported as timed out and returned later
            return
        found[n] = _check(probes[n], finding)
        if told is not None:
            told(probes[n], found[n])

    def make(n: int) -> tuple[int, Finding]:
        return n, _finding(probes[n])

    waiting = {pool.submit_with_limit(probe.limit, make, n) for n, probe in enumerate(probes)}
    while len(found) < len(probes):
        done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            report(*future.result())
        for call in pool.replace_hung():
            [n] = call.args
            report(n, _silent(probes[n]))
    pool.shutdown()
    return [found[n] for n in range(len(probes))]


def _finding(probe: Probe) -> Finding:
    try:
        return probe.look()
    except Skipped as why:
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
    clean = secret_redactor()
    return Check(
        name=probe.name,
        about=clean(probe.about),
        state=finding.state,
        sentence=clean(finding.sentence),
        cure=clean(finding.cure),
    )
