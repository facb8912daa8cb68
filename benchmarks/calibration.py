"""Simulate the false-alarm rate of the drift check and its delay, as a Markdown table.

    PYTHONPATH=include python benchmarks/calibration.py [--write] [--sets 100] [--runs 200] [--workers 2]

Nothing is sampled that can be drawn exactly instead: the edges that are fitted to n continuous
values are order statistics, which are sums of gamma variates, and the window's counts between fixed
edges are multinomial. A million rows therefore cost as much as 300, and every count has the distribution
that counting sampled rows would give it. Edges, labels, statistics, correction and verdict are the
library's own code. Features are independent of each other.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from homeostat.config.model import Monitor
from homeostat.core.drift.compare import aggregate, feature_verdicts
from homeostat.core.drift.feature import DECISIVE, FeatureStats, compute_stats
from homeostat.core.profile import FeatureCounts, NumberEdges
from homeostat.core.profile.coerce import hash_of
from homeostat.core.profile.fit_edges import fit_label_edges

ROWS = (300, 3_000, 100_000, 1_000_000)
REFERENCES = (2_000, 200_000)
FEATURES = (1, 5, 35, 500)
EDGES = 128
DEFAULTS = Monitor()
#: Any significant feature is an alert: the statistics alone decide.
STATISTICS = Monitor(min_effect=1e-12, drifted_share=1e-12)
#: Ten features of a data set, repeated.
MIX = ("number",) * 6 + ("ties", "category", "rare", "many")
SHARES = {
    "ties": np.array([*np.exp(-0.5 * ((np.arange(25) - 8) / 3) ** 2)]),  # integers from 0 to 24
    "category": np.array([5.0, 4.0, 3.0, 2.0, 1.0]),
    "rare": 0.6 ** np.arange(30),  # most of them below one row in a thousand
    "many": 1 / np.arange(1.0, 801.0),  # more than have slots, and more than the smaller reference has seen
}
SHARES = {kind: shares / shares.sum() for kind, shares in SHARES.items()}
LABELS = [f"label-{i}" for i in range(max(map(len, SHARES.values())))]
HASHES = np.array([hash_of(label) for label in LABELS])
LONGEST = 50  # windows to wait for an alert
SEED = 20240229


@dataclass(frozen=True)
class Draw:
    """One feature's reference, and the chance of a window's row for each slot."""

    reference: FeatureCounts
    chances: np.ndarray  # of each slot, and of being unseen

    def window(self, rng: np.random.Generator, rows: int) -> FeatureCounts:
        """Return the counts of that many rows."""
        *slots, unseen = rng.multinomial(rows, self.chances)
        return FeatureCounts(self.reference.edges, np.array(slots, dtype=np.int64), 0, int(unseen))


def number(rng: np.random.Generator, n: int, shift: float = 0.0) -> Draw:
    """Draw a standard normal on the quantiles of n values; the window is shifted by ``shift``."""
    at = np.round(np.linspace(0, n - 1, EDGES)).astype(np.int64)
    spacings = rng.gamma(np.diff(at, prepend=-1, append=n))
    below = np.cumsum(spacings)[:-1] / spacings.sum()  # uniform order statistics
    edges = ndtri(below)
    reference = np.zeros(2 * EDGES + 1, dtype=np.int64)
    reference[1::2], reference[2:-1:2] = 1, np.diff(at) - 1
    chances = np.zeros(2 * EDGES + 2)
    chances[0:-1:2] = np.diff(ndtr(edges - shift), prepend=0.0, append=1.0)
    return Draw(FeatureCounts(NumberEdges(tuple(edges.tolist()), complete=False), reference), chances)


def ties(rng: np.random.Generator, n: int) -> Draw:
    """Draw integers; each one that the reference holds is a cut point."""
    shares = SHARES["ties"]
    drawn = rng.multinomial(n, shares)
    edges = np.flatnonzero(drawn)
    below = np.searchsorted(edges, np.arange(shares.size))
    slots = 2 * below + (drawn > 0)
    size = 2 * edges.size + 1
    fitted = NumberEdges(tuple(edges.astype(float).tolist()), complete=True)
    reference = np.bincount(slots, weights=drawn, minlength=size).astype(np.int64)
    return Draw(FeatureCounts(fitted, reference), np.bincount(slots, weights=shares, minlength=size + 1))


def category(rng: np.random.Generator, n: int, kind: str) -> Draw:
    """Draw labels with slots, hashes or neither, as fit_edges assigns them."""
    shares = SHARES[kind]
    drawn = rng.multinomial(n, shares)
    seen = np.flatnonzero(drawn)
    fitted = fit_label_edges(drawn[seen], [LABELS[i] for i in seen], 100)
    slots = np.full(shares.size, fitted.size - 1 if fitted.open else fitted.size)
    slots[np.isin(HASHES[: shares.size], fitted.rest)] = fitted.size - 1
    slot_of = {label: slot for slot, label in enumerate(fitted.labels)}
    for i in seen:
        slots[i] = slot_of.get(LABELS[i], slots[i])
    reference = np.bincount(slots, weights=drawn, minlength=fitted.size + 1).astype(np.int64)
    chances = np.bincount(slots, weights=shares, minlength=fitted.size + 1)
    return Draw(FeatureCounts(fitted, reference[:-1]), chances / chances.sum())


def draw(rng: np.random.Generator, kind: str, n: int) -> Draw:
    """Draw a feature of one kind without drift."""
    if kind in ("number", "ties"):
        return (number if kind == "number" else ties)(rng, n)
    return category(rng, n, kind)


def decisive_stats(name: str, reference: FeatureCounts, window: FeatureCounts) -> FeatureStats:
    """Return the statistics that decide a verdict, and no others."""
    return compute_stats(name, reference, window, DEFAULTS, tests=DECISIVE)


def false_alarms(
    n: int, m: int, sets: int
) -> tuple[dict[tuple[str, int], tuple[int, int]], dict[str, tuple[int, int]]]:
    """Count alerts and data sets by settings and features, and p-values below alpha by kind of feature.

    The features of one large data set also serve as those of many smaller ones.
    """
    rng = np.random.default_rng([SEED, n, m])
    kinds = [MIX[i % len(MIX)] for i in range(sets * max(FEATURES))]
    stats: list[FeatureStats] = []
    for at, kind in enumerate(kinds):
        one = draw(rng, kind, n)
        stats.append(decisive_stats(f"{kind}-{at}", one.reference, one.window(rng, m)))
    mixed = [stats[i] for i in rng.permutation(len(stats))]
    alerts = {}
    for name, monitor in (("defaults", DEFAULTS), ("statistics", STATISTICS)):
        for features in FEATURES:
            groups = [mixed[i : i + features] for i in range(0, len(mixed), features)]
            verdicts = [aggregate(feature_verdicts(group, monitor), monitor).verdict for group in groups]
            alerts[name, features] = (verdicts.count("alert"), len(groups))
    found = {
        kind: [
            f.p_value < DEFAULTS.alpha for f, of in zip(stats, kinds, strict=True) if of == kind and f.p_value
        ]
        for kind in dict.fromkeys(MIX)
    }
    return alerts, {kind: (sum(below), len(below)) for kind, below in found.items()}


def delays(n: int, features: int, shifted: int, runs: int) -> list[int]:
    """Return windows of 500 rows until the alert, with ``shifted`` features 0.3 deviations off."""
    rng = np.random.default_rng([SEED, n, features, shifted])
    found = []
    for _ in range(runs):
        drawn = [number(rng, n, 0.3 if i < shifted else 0.0) for i in range(features)]
        window, verdict = 0, ""
        while verdict != "alert" and window < LONGEST:
            window += 1
            stats = [decisive_stats(f"x{i}", x.reference, x.window(rng, 500)) for i, x in enumerate(drawn)]
            verdict = aggregate(feature_verdicts(stats, DEFAULTS), DEFAULTS).verdict
        found.append(window)
    return found


def rate(hits: int, of: int) -> str:
    """Return the share and its standard error (that of one hit when there are none)."""
    share = max(hits, 1) / of
    return f"{hits / of:.4f} ± {np.sqrt(share * (1 - share) / of):.4f}"


def report(sets: int, runs: int, workers: int) -> str:
    """Return the tables as Markdown."""
    cases = [(n, m) for n in REFERENCES for m in ROWS]
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(false_alarms, n, m, sets) for n, m in cases]
        thirds = [(n, *of) for n in REFERENCES for of in ((30, 10), (35, 11), (9, 3))]
        late = [pool.submit(delays, *case, runs) for case in thirds]
        results = [future.result() for future in waiting]
        delayed = [future.result() for future in late]
    head = (
        "| reference | window | "
        + " | ".join("1 feature" if f == 1 else f"{f} features" for f in FEATURES)
        + " |"
    )
    rule = "|---:|---:|" + "---:|" * len(FEATURES)
    lines: list[str] = []
    for name, title in (
        (
            "statistics",
            "Any feature significant is an alert (`min_effect` and `drifted_share` next to nothing)",
        ),
        ("defaults", "The platform's defaults (`alpha` 0.05, `min_effect` 0.1, `drifted_share` 0.3)"),
    ):
        lines += [f"### {title}", "", head, rule]
        lines += [
            f"| {n:,} | {m:,} | " + " | ".join(rate(*alerts[name, f]) for f in FEATURES) + " |"
            for (n, m), (alerts, _) in zip(cases, results, strict=True)
        ]
        lines += [""]
    kinds = list(dict.fromkeys(MIX))
    lines += ["### One feature's p-value below 0.05, by its kind", ""]
    lines += ["| reference | window | " + " | ".join(kinds) + " |", "|---:|---:|" + "---:|" * len(kinds)]
    lines += [
        f"| {n:,} | {m:,} | " + " | ".join(rate(*below[kind]) for kind in kinds) + " |"
        for (n, m), (_, below) in zip(cases, results, strict=True)
    ]
    lines += [
        "",
        "### Windows of 500 rows until the alert, a third of the features shifted by 0.3 deviations",
        "",
    ]
    lines += [
        "| reference | features | shifted | median | at most 3 | longest |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {n:,} | {features} | {shifted} | {np.median(found):g} | "
        f"{np.mean(np.array(found) <= 3):.1%} | {max(found)} |"
        for (n, features, shifted), found in zip(thirds, delayed, strict=True)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables; keep them with ``--write``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=int, default=100, help="data sets of 500 features for each line")
    parser.add_argument("--runs", type=int, default=200, help="drifts for each line of the delays")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="into benchmarks/calibration.md")
    args = parser.parse_args()
    start = time.monotonic()
    tables = report(args.sets, args.runs, args.workers)
    print(tables)
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    if args.write:
        options = f"--write --sets {args.sets} --runs {args.runs}"
        command = f"PYTHONPATH=include python benchmarks/calibration.py {options}"
        about = (__doc__ or "").split("\n\n", maxsplit=2)[2]
        Path(__file__).with_suffix(".md").write_text(
            f"# Calibration of the drift check\n\nMade by `{command}`. Rates with their standard errors; "
            f"nothing drifts in the first three tables.\n\n{about}\n{tables}",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
