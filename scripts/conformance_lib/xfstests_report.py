#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tells what came of runs of xfstests, as a table in Markdown.

Each argument is a folder with the results of one configuration. Executed, passed, failed and not
run are told apart; failures and what didn't run with their reasons: the suite's own words, and for
what is known the words of the file that --known names: lines of a test, "fails", "may-fail" or
"not-run", configurations (or "*"), and the reason. The status is 0 if nothing failed but what is
known; a test that "fails" but passed is told, as its line can go.
"""

import argparse
import collections
import fnmatch
import pathlib
import re
import sys
import xml.etree.ElementTree

Known = collections.namedtuple("Known", "test what configurations reason")


def read_known(path):
    """The lines of the file; empty ones and those that begin with # are none."""
    known = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(None, 3)
        if len(fields) != 4 or fields[1] not in ("fails", "may-fail", "not-run"):
            sys.exit(f"{path}: not TEST fails|may-fail|not-run CONFIGURATIONS REASON: {line}")
        known.append(Known(fields[0], fields[1], fields[2].split(","), fields[3]))
    return known


def reason_of(known, test, what, configuration):
    """The reason that is known, or None; `what` are the kinds of line that count."""
    for one in known:
        if one.what in what and fnmatch.fnmatch(test, one.test):
            if "*" in one.configurations or configuration in one.configurations:
                return one.reason
    return None


class Run:
    """What one configuration came to."""

    def __init__(self, folder):
        self.name = folder.name
        self.passed, self.failed, self.not_run = [], {}, {}
        suite = xml.etree.ElementTree.parse(folder / "result.xml").getroot()
        self.seconds = float(suite.get("time") or 0)
        for case in suite.iter("testcase"):
            test = case.get("name")
            skipped, failure = case.find("skipped"), case.find("failure")
            if skipped is not None:
                self.not_run[test] = without_paths(skipped.get("message") or "")
            elif failure is not None:
                self.failed[test] = without_paths(failure.get("message") or "")
            else:
                self.passed.append(test)

    @property
    def executed(self):
        return len(self.passed) + len(self.failed)


def without_paths(message):
    """The same message for all runs: places of a run are its own."""
    message = re.sub(r"/\S*/host\.(test|scratch)/pool", r"the \1 pool", message)
    message = re.sub(r"/\S*/(test|scratch)\b", r"the \1 mount", message)
    message = re.sub(r"/\S*/suite/", "", message)
    message = re.sub(r"\s*\(see [^)]*\)", "", message)
    return re.sub(r"\s+", " ", message).strip()


def print_totals(runs):
    print("| configuration | executed | passed | failed | not run | minutes |")
    print("|---|---:|---:|---:|---:|---:|")
    for run in runs:
        print(f"| {run.name} | {run.executed} | {len(run.passed)} | {len(run.failed)} "
              f"| {len(run.not_run)} | {run.seconds / 60:.0f} |")


def print_failures(runs, known):
    """A line for each test that failed anywhere; the number of those that nobody knows of."""
    unknown = 0
    tests = sorted({test for run in runs for test in run.failed})
    if tests:
        print("\n| failed | on | reason |\n|---|---|---|")
    for test in tests:
        where = [run for run in runs if test in run.failed]
        reasons = []
        for run in where:
            reason = reason_of(known, test, ("fails", "may-fail"), run.name)
            unknown += reason is None
            reason = reason or "**unknown**: " + run.failed[test]
            if reason not in reasons:
                reasons.append(reason)
        print(f"| {test} | {', '.join(run.name for run in where)} | {'; '.join(reasons)} |")
    return unknown


def print_not_run(runs, known):
    """One line for each reason, with its tests; by number, the commonest first."""
    by_reason = collections.defaultdict(lambda: collections.defaultdict(list))
    for run in runs:
        for test, message in run.not_run.items():
            reason = reason_of(known, test, ("not-run",), run.name)
            words = f"{message}: {reason}" if reason else message or "**unknown**"
            by_reason[words][test].append(run.name)
    if by_reason:
        print("\n| not run | tests | reason |\n|---:|---|---|")
    for words, tests in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        names = [test if len(tests[test]) == len(runs) else f"{test} ({', '.join(tests[test])})"
                 for test in sorted(tests)]
        print(f"| {len(tests)} | {' '.join(names)} | {words} |")


def print_mended(runs, known):
    for one in known:
        for run in runs:
            applies = "*" in one.configurations or run.name in one.configurations
            if one.what == "fails" and applies and one.test in run.passed:
                print(f"\n{one.test} passed on {run.name}, although it is known to fail.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--known", type=pathlib.Path, required=True)
    parser.add_argument("folder", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    known = read_known(arguments.known)
    runs = [Run(folder) for folder in arguments.folder]
    print_totals(runs)
    unknown = print_failures(runs, known)
    print_not_run(runs, known)
    print_mended(runs, known)
    return 1 if unknown else 0


sys.exit(main())
