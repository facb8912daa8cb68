"""Simulated streams of slices: how often they alarm without a change, and how soon they find one.

Run it for the figures of docs/how-homeostat-decides.md: ``python tests/core/slices/slice_streams.py``
(with ``plain`` or ``seasonal`` for one half of them).
"""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.slices import SliceBy
from homeostat.core.profile import (
    Reference,
    Season,
    SliceReference,
    Slices,
    count_positions,
    count_slices,
    reweight_slices,
    slot_totals,
)
from homeostat.core.slices import LossSums, SliceBaseline, assess_slices, compare_slices

ROWS = 60  # of a step, which is an hour
#: How the losses of a version that does not change are distributed.
LOSSES = {
    "rare": lambda rng, n: (rng.random(n) < 0.05).astype(float),
    "some": lambda rng, n: (rng.random(n) < 0.2).astype(float),
    "many": lambda rng, n: (rng.random(n) < 0.4).astype(float),
    "normal": lambda rng, n: np.abs(rng.normal(size=n)),
    "heavy": lambda rng, n: rng.lognormal(0, 1.2, n),
    # Forty neighbours have a good or a bad time together.
    "shared": lambda rng, n: (
        rng.random(n) < np.clip(0.2 + 0.1 * np.repeat(rng.normal(size=n // 40 + 1), 40)[:n], 0, 1)
    ).astype(float),
}


def config_of(losses="some", **monitor):
    """A model with default settings."""
    task = "regression" if losses in ("normal", "heavy") else "classification"
    features = {f"n{i}": {"type": "number"} for i in range(7)} | {
        f"c{i}": {"type": "category"} for i in range(3)
    }
    return ModelConfig.model_validate(
        {
            "name": "sample",
            "task": task,
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": features},
            "monitor": monitor,
        }
    )


def stream(losses, seed, *, slices=21, share=None, holdout=1500, steps=48, every=1, changed_at=None, bad=0.0):
    """Check a stream; return whether each check alarmed, and after how many slice 0 was found, or None.

    Parameters
    ----------
    share
        Of slice 0; the others share the rest equally. None: all have the same.
    every
        Only every so manieth step is checked.
    changed_at, bad
        From which step on the share ``bad`` of the rows of slice 0 is wrong.
    """
    rng, config = np.random.default_rng([7, seed]), config_of(losses)
    first = 1 / slices if share is None else share
    shares = [first, *[(1 - first) / (slices - 1)] * (slices - 1)]
    draw = LOSSES[losses]
    held, where = draw(rng, holdout), rng.choice(slices, holdout, p=shares)
    baselines = {str(k): SliceBaseline.of(held[where == k]) for k in range(slices)}
    all_losses, places = draw(rng, steps * ROWS), rng.choice(slices, steps * ROWS, p=shares)
    if changed_at is not None:
        late = (places == 0) & (np.arange(len(places)) >= changed_at * ROWS)
        all_losses[late] = rng.random(int(late.sum())) < bad
    history, alarms, found = [], [], None
    for step in range(steps):
        own = slice(step * ROWS, (step + 1) * ROWS)
        history.insert(0, {str(k): LossSums.of(all_losses[own][places[own] == k]) for k in range(slices)})
        if step % every:
            continue
        scores = assess_slices(config, list(baselines), baselines, history)
        alarms.append(any(score.verdict == "alert" for score in scores.values()))
        if found is None and changed_at is not None and step >= changed_at and scores["0"].verdict == "alert":
            found = step - changed_at + 1
    return alarms, found


def frame(rng, rows, *, shifted=""):
    """Rows of ten independent features; c0 has ten values. In the slice ``shifted``, n0 moves."""
    columns = {f"n{i}": rng.normal(size=rows) for i in range(7)}
    columns |= {f"c{i}": rng.choice(list("abcdefghij"), rows) for i in range(3)}
    found = pd.DataFrame(columns)
    found.loc[found["c0"] == shifted, "n0"] += 1.5
    return found


def windows(seed, count, *, rows=1440, shifted=""):
    """Compare windows without a change with one reference; return the drifted features of each by slice."""
    rng, config = np.random.default_rng([11, seed]), config_of()
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    reference = frame(rng, 3000)
    edges = Reference.fit(reference, kinds).edges
    own = SliceReference.of(Slices.fit((SliceBy(feature="c0"),), reference, kinds), edges, reference)
    found = []
    for _ in range(count):
        window = count_slices(edges, frame(rng, rows, shifted=shifted), own.slices)
        drift = compare_slices(own.profiles, window, config.monitor)
        found.append({name: each.drifted for name, each in drift.items() if each.drifted})
    return found


MONDAY = pd.Timestamp("2026-03-02", tz="UTC")


def seasonal_frame(rng, first, hours, *, per_hour=ROWS, shifted=""):
    """Rows of consecutive hours whose numbers and first category follow the hour of the day."""
    hour = np.repeat(np.arange(first, first + hours), per_hour)
    found = frame(rng, len(hour), shifted=shifted)
    for i in range(7):
        found[f"n{i}"] += 2 * np.sin(2 * np.pi * (hour + 3 * i) / 24)
    late = (hour % 24 >= 12) & (rng.random(len(hour)) < 0.5)  # half of the slices have their rows by night
    found["c0"] = np.where(late, rng.choice(list("fghij"), len(hour)), found["c0"])
    return found.assign(at=MONDAY + pd.to_timedelta(hour, unit="h"))


def seasonal_windows(
    seed, count, *, days=14, hours=6, kind="hour_of_day", shifted="", seasonal=True, per_hour=ROWS
):
    """Compare windows of some hours with a reference of some days, each slice with its own hours.

    Returns
    -------
    The drifted features of each window by slice, and the share of the slices that were computable.
    """
    rng, config = np.random.default_rng([13, seed]), config_of()
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    reference = seasonal_frame(rng, 0, 24 * days, per_hour=per_hour)
    edges = Reference.fit(reference, kinds).edges
    slices = Slices.fit((SliceBy(feature="c0"),), reference, kinds)
    season = Season.from_rows(edges, reference, reference["at"], kind)
    own = SliceReference.of(slices, edges, reference, season, reference["at"])
    found, computable = [], []
    for number in range(count):
        window = seasonal_frame(rng, 24 * days + number * hours, hours, per_hour=per_hour, shifted=shifted)
        positions, slots = slices.positions(window), {}
        for name, each in own.seasons.items():
            of_row = each.slots_of(window["at"].iloc[positions[name]])
            slots[name] = slot_totals(of_row, len(each.rows))
            positions[name] = positions[name][each.covers(of_row)]
        held = reweight_slices(edges, own.seasons, slots) if seasonal else own.profiles
        drift = compare_slices(
            held, count_positions(edges, window, positions), config.monitor, of_hours=seasonal
        )
        found.append({name: each.drifted for name, each in drift.items() if each.drifted})
        computable += [each.verdict != "not_computable" for name, each in drift.items() if "rest" not in name]
    return found, float(np.mean(computable))


def references(kind, days):
    """The reference of a season without slices, with slices, and with slices that have a season."""
    rng, config = np.random.default_rng(17), config_of()
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    rows = seasonal_frame(rng, 0, 24 * days)
    plain = Reference.fit(rows, kinds)
    plain = replace(plain, season=Season.from_rows(plain.edges, rows, rows["at"], kind))
    own = SliceReference.of(
        Slices.fit((SliceBy(feature="c0"),), rows, kinds), plain.edges, rows, plain.season, rows["at"]
    )
    return plain, replace(plain, slices=replace(own, seasons={})), replace(plain, slices=own)


def say(text):
    """Print one figure."""
    print(text)  # noqa: T201  # what the script is for


def say_plain():
    """Print the figures of slices without a season."""
    for losses in LOSSES:
        alarms = np.array([stream(losses, seed)[0] for seed in range(40)])
        say(f"{losses}: {alarms.mean():.3%} of {alarms.size} checks alarm")
    for bad, holdout in ((0.9, 1500), (0.6, 1500), (0.4, 4000)):
        delays = [
            stream("some", seed, slices=9, share=0.1, holdout=holdout, steps=96, changed_at=24, bad=bad)[1]
            for seed in range(40)
        ]
        known = sorted(99 if delay is None else delay for delay in delays)
        say(f"errors 20 % to {bad:.0%}, {holdout} holdout rows: {known[20]} checks, 9 of 10 in {known[35]}")
    drifted = [bool(window) for seed in range(10) for window in windows(seed, 20)]
    say(f"drift: {np.mean(drifted):.1%} of {len(drifted)} windows have a drifted feature in a slice")


def say_seasonal():
    """Print those of slices with a season."""
    for kind, days, hours, per_hour, seasonal in (
        ("hour_of_day", 14, 6, 60, False),
        ("hour_of_day", 14, 6, 60, True),
        ("hour_of_day", 3, 6, 60, True),
        ("hour_of_day", 14, 24, 60, True),
        ("hour_of_week", 28, 6, 120, True),
        ("hour_of_week", 28, 24, 120, True),
    ):
        runs = [
            seasonal_windows(
                seed, 20, days=days, hours=hours, kind=kind, seasonal=seasonal, per_hour=per_hour
            )
            for seed in range(10)
        ]
        drifted = [bool(window) for found, _ in runs for window in found]
        said = f"{'with' if seasonal else 'without'} season {kind}, {days} days of {per_hour} rows an hour"
        share = np.mean([share for _, share in runs])
        say(
            f"{said}, windows of {hours} h: {np.mean(drifted):.1%} of {len(drifted)} windows have a drifted "
            f"feature in a slice; {share:.0%} of the slices are computable"
        )
    for kind, days in (("hour_of_day", 14), ("hour_of_week", 28)):
        plain, sliced, seasonal = (len(each.to_bytes()) / 1000 for each in references(kind, days))
        say(
            f"{kind}: a reference of 10 features has {plain:.0f} KB without slices, {sliced:.0f} KB with 10 "
            f"slices, {seasonal:.0f} KB with their seasons"
        )


if __name__ == "__main__":
    for figures in (say_plain, say_seasonal):
        if len(sys.argv) < 2 or figures.__name__ == f"say_{sys.argv[1]}":
            figures()
