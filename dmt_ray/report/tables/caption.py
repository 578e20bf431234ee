"""What appears below a table: what its texts and marks mean, and what it was made from."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from dmt_ray.plan.words import counted
from dmt_ray.report.tables.numbers import ORACLE, Numbers
from dmt_ray.report.titles import NONE
from dmt_ray.results.statistics import visible

DIGITS = 12  # of digests and fingerprints that are shown


def caption(frame: pd.DataFrame, content: Numbers, origin: Mapping[str, Any]) -> Iterator[str]:
    """What the texts and marks of a table mean, a sentence or two each."""
    runs = max(score.planned for score in content.scores.values())
    if runs > 1:
        yield f"± is the sample standard deviation (ddof 1) over runs: {_over(frame)}."
    else:
        yield "One run each: no ±, no intervals, and no row is marked."
    rules = {
        "last": "last: mean over the models after the last iteration (nothing is selected)",
        "ensemble": "ensemble of A and B: the mean of both models' class probabilities after the last iteration; of a "
        "single model, that model",
        "val": "validation: the snapshot that scores best on the validation images",
        "paper": "best on the test set: selected by the score that is printed, as in the papers, so biased upwards",
    }
    yield "; ".join(rules[rule] for rule in content.rules) + "."
    if "paper" in origin.get("selects", ()):
        yield (
            "The papers' protocol: trainings continued from the snapshots that were best on the test images, "
            "so last and validation depend on that selection, too."
        )
    oracle = ORACLE in content.methods.values()
    if content.looks:
        yield from _looks(content)
    else:
        yield from _fixed(content, runs, oracle)
    yield from origin.get("protocol", ())
    if audit := origin.get("audit"):
        signs = {"agrees": "†: all stages behind the score agree", "differs": "‡: a stage behind the score differs"}
        marks = "; ".join(text for what, text in signs.items() if audit[what])
        yield (
            f"Audit: {audit['sentence']} (stages drawn at random, computed again and compared {audit['compared']})."
            f"{f' {marks}.' if marks else ''}"
        )
    yield (
        "models × steps: models that a run trains, optimizer steps of each (mean). device h: mean device "
        "hours per run, including the stages that it shares with other rows."
    )


def _looks(content: Numbers) -> Iterator[str]:
    """What is said of a table that added seeds until its rows were decided."""
    *most, last = map(str, content.looks)
    looks = f"{', '.join(most)} and {last}" if most else last
    yield (
        f"Seeds were added until rows were decided, at looks fixed beforehand: after {looks} seeds. A row is decided, "
        "and gets no more seeds, when its interval excludes 0. Rows have different seeds: compare differences, "
        "not means."
    )
    yield (
        "Differences are paired by (split, seed). In brackets the interval that is right after such looks: in 95 % of "
        "tables the intervals of all rows of a block contain the truth at all looks (t interval with an error of "
        f"{content.error:.2g} a look and row). Wins: pairs in which the row is above {content.reference}. "
        "Decided: by the first rule; a row that is open would be decided with so many seeds in four of five tables, if "
        "difference and spread stayed as they are."
    )


def _fixed(content: Numbers, runs: int, oracle: bool) -> Iterator[str]:
    """What is said of a table whose rows all have the same seeds."""
    yield (
        "Differences are paired by (split, seed). In brackets the 95 % t interval (df n - 1); pooled: using the error "
        f"of all R rows{' but oracles' if oracle else ''}, df (R - 1)(n - 1), valid only if all rows scatter alike. "
        f"Wins: pairs in which the row is above {content.reference}. "
        "p: exact two-sided sign-flip test, with its floor, the smallest p that this many pairs allow. "
        "Holm: p adjusted for the rows of its block, but not for several rules or columns."
    )
    starred = any(one.starred for one in content.comparisons.values())
    if runs > 1:
        yield visible(runs) + (" *: Holm's p is at most .05." if starred else "")
        yield (
            "Bold: the best row, if its paired 95 % interval to every other row excludes 0. Underlined: the best row, "
            "and all rows whose interval to it does not exclude 0."
            f"{' Oracles, which see all labels, are not ranked.' if oracle else ''}"
        )


def _over(frame: pd.DataFrame) -> str:
    """How the runs of a cell differ, for people."""
    texts = []
    for _, part in frame.groupby("column", sort=False):
        seeds, splits = part["seed"].nunique(), part["split_digest"][part["split_digest"] != ""].nunique()
        how = {0: "", 1: ", all on the same label split", seeds: ", each with a label split of its own"}
        other = f" on {splits} label splits; runs on the same split are counted as independent"
        texts.append(
            f"{counted(seeds, 'seed')}{how.get(splits, other)}"
            if seeds != 1 or splits < 2
            else f"{splits} label splits, one seed"
        )
    return "; ".join(dict.fromkeys(texts))


def footer(frame: pd.DataFrame, content: Numbers, origin: Mapping[str, Any]) -> Iterator[str]:
    """Code, settings, data and packages that the records come from; nothing that depends on when they are read."""

    def unique(name: str) -> str:
        length = DIGITS if name == "fingerprint" else None
        return ", ".join(dict.fromkeys(str(value)[:length] for value in frame[name]))

    yield f"Records of {unique('experiment')}; recipe {unique('recipe')}."
    yield f"Data: {unique('data')}, fingerprint {unique('fingerprint')}."
    yield _commit(origin)
    rows_of: dict[str, list[str]] = {}
    for row in content.rows:
        rows_of.setdefault("/".join(content.configs.get((row, c), NONE) for c in content.columns), []).append(row)
    settings = [f"{hashes} ({', '.join(rows)})" for hashes, rows in rows_of.items()]
    yield f"Settings (hash): {'; '.join(settings) if len(settings) > 1 else next(iter(rows_of))}."
    splits = frame[frame["split"] != ""].drop_duplicates(["column", "seed", "split", "split_digest"])
    names = splits.sort_values("seed", kind="stable")[["split", "split_digest"]].itertuples(index=False, name=None)
    named = dict.fromkeys(f"{name} {str(digest)[:DIGITS]}" for name, digest in names)
    yield f"Splits (digest): {', '.join(named) or 'unknown'}."
    yield _packages(origin)


def sources(frame: pd.DataFrame) -> Iterator[str]:
    """Data, splits, code and packages that the records of a sweep come from."""
    origin = frame.attrs["about"]
    if len(frame):
        data, fingerprints = (", ".join(dict.fromkeys(frame[name])) for name in ("data", "fingerprint"))
        yield f"Data: {data}, fingerprint {fingerprints}."
        splits = frame[["split", "split_digest"]].drop_duplicates().itertuples(index=False)
        yield f"Splits (digest): {', '.join(f'{one.split} {one.split_digest}' for one in splits)}."
    yield _commit(origin)
    yield _packages(origin)


def _commit(origin: Mapping[str, Any]) -> str:
    git = origin.get("git") or {}
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    return f"git commit {git['commit']}{dirty}." if git.get("commit") else "git commit unknown."


def _packages(origin: Mapping[str, Any]) -> str:
    versions = origin.get("versions") or {}
    return f"Packages: {', '.join(f'{name} {versions[name]}' for name in sorted(versions)) or 'unknown'}."
