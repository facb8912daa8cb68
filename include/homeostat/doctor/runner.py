"""Run checks in parallel, each within its time limit; threads of hung checks are replaced (hung_calls.py)."""

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
_OnCheck = Callable[[Probe, Check], None]


def run_probes(
    probes: Sequence[Probe], on_check: _OnCheck | None = None, *, threads: int = _THREADS
) -> list[Check]:
    """Run all probes; return one check per probe, in the order of the probes.

    Parameters
    ----------
    probes
        The checks to run.
    on_check
        Called after each check with its probe and its result.
    threads
        How many checks run in parallel.
    """
    # Every call may hang and is replaced: otherwise the checks behind it would never start.
    pool = ReplacingThreadPool(
        min(threads, len(probes)) or 1, "doctor", hang_seconds=float("inf"), max_hung=len(probes)
    )
    found: dict[int, Check] = {}

    def report(n: int, finding: Finding) -> None:
        if n in found:  # the check was reported as timed out and returned later
            return
        found[n] = _to_check(probes[n], finding)
        if on_check is not None:
            on_check(probes[n], found[n])

    def run(n: int) -> tuple[int, Finding]:
        return n, _find(probes[n])

    waiting = {pool.submit_with_limit(probe.limit, run, n) for n, probe in enumerate(probes)}
    while len(found) < len(probes):
        done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            report(*future.result())
        for call in pool.replace_hung():
            [n] = call.args
            report(n, _timed_out(probes[n]))
    pool.shutdown()
    return [found[n] for n in range(len(probes))]


def _find(probe: Probe) -> Finding:
    try:
        return probe.check()
    except Skipped as why:
        return skipped(str(why))
    except NotAllowed as action:
        return warning(
            f"not checked: these AWS credentials lack the permission {action}",
            "attach the policy from `terraform output airflow_policy_arn` to the user or role that runs this",
        )
    except ConfigError as error:
        return broken(str(error), probe.remedy or "correct the setting")
    except HomeostatError as error:
        return broken(str(error), probe.remedy or "fix this, then run `homeostat doctor` again")
    except Exception as error:  # noqa: BLE001  # a check that fails must not hide what the others found
        return broken(
            f"the check itself failed: {type(error).__name__}: {error}",
            probe.remedy or "report this as a bug of homeostat, with the output of `homeostat doctor --json`",
        )


def _timed_out(probe: Probe) -> Finding:
    sentence = f"no response within {probe.limit:.0f} s"
    return broken(sentence, probe.remedy or "check that the service runs and that no firewall drops packets")


def _to_check(probe: Probe, finding: Finding) -> Check:
    redact = secret_redactor()
    return Check(
        name=probe.name,
        about=redact(probe.about),
        state=finding.state,
        sentence=redact(finding.sentence),
        remedy=redact(finding.remedy),
    )
