# SPDX-License-Identifier: GPL-2.0-or-later
"""What the test programs share: choosing tests, running them in namespaces, a line for each."""
import argparse
import fnmatch
import os
import pathlib
import shutil
import sys
import time
import unittest

from . import daemon, netns, runs

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Result(unittest.TestResult):
    """A line per test; at the end, the failures in full."""

    def __init__(self):
        super().__init__()
        self.passed, self.problems, self._begin = 0, [], 0.0

    def startTest(self, test):
        super().startTest(test)
        self._begin = time.monotonic()

    def _line(self, test, verdict):
        print(f"{verdict}  {test.id()}  ({time.monotonic() - self._begin:.1f} s)", flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self._line(test, "ok    ")

    def addFailure(self, test, err):
        self._problem(test, err)

    def addError(self, test, err):
        self._problem(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._problem(subtest, err)

    def addSkip(self, test, reason):
        # Nothing here may be left out quietly.
        self.problems.append((test.id(), "skipped: " + reason))
        self._line(test, "SKIP  ")

    def _problem(self, test, err):
        text = (
            str(err[1])
            if isinstance(err[1], AssertionError)
            else self._exc_info_to_string(err, test)
        )
        self.problems.append((test.id(), text))
        self._line(test, "FAILED")
        print("        " + text.strip().replace("\n", "\n        "), flush=True)


def tests_in(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def parser(description):
    """The options that all of them have."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "-k",
        metavar="PATTERN",
        action="append",
        default=[],
        help="only tests whose name holds this (or matches it, with * and ?); may be repeated",
    )
    options.add_argument(
        "--mediaproxyd",
        metavar="PATH",
        default=os.environ.get("MEDIAPROXYD"),
        help="the daemon (default: $MEDIAPROXYD, else build/src/mediaproxyd)",
    )
    options.add_argument(
        "--plugins", metavar="DIR", help="its plugins (default: ../plugins beside the daemon)"
    )
    options.add_argument("--keep", action="store_true", help="keep the logs, also when all passes")
    options.add_argument("--list", action="store_true", help="only name the tests")
    return options


def discover(folder, patterns):
    """The tests of the folder's files, or those whose name fits one of the patterns."""
    suite = unittest.defaultTestLoader.discover(str(folder), "test_*.py", top_level_dir=str(folder))
    tests = list(tests_in(suite))
    if unittest.defaultTestLoader.errors:
        sys.exit("\n".join(unittest.defaultTestLoader.errors))
    if not patterns:
        return tests
    return [
        test
        for test in tests
        if any(
            fnmatch.fnmatchcase(test.id(), p if set(p) & set("*?[") else f"*{p}*") for p in patterns
        )
    ]


def missing(options, packages):
    """What is not there and must be; `packages` are Debian's, by program."""
    absent = [program for program in packages if not shutil.which(program)]
    if absent:
        names = " ".join(sorted({packages[program] for program in absent}))
        return f"Not installed: {', '.join(absent)}. On Debian: apt-get install {names}"
    if not os.access(options.mediaproxyd, os.X_OK):
        return (
            f"No daemon at {options.mediaproxyd}: ninja -C build makes it, --mediaproxyd names it."
        )
    return None


def run(options, tests, packages):
    """Runs the tests, isolated; the exit status."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    options.mediaproxyd = pathlib.Path(
        options.mediaproxyd or ROOT / "build/src/mediaproxyd"
    ).resolve()
    if options.list:
        print("\n".join(test.id() for test in tests))
        return 0
    if problem := missing(options, packages):
        sys.exit(problem)
    if not tests:
        sys.exit("No test has such a name; --list names them.")
    netns.isolate()
    daemon.EXECUTABLE = options.mediaproxyd
    daemon.PLUGINS = pathlib.Path(
        options.plugins or options.mediaproxyd.parent.parent / "plugins"
    ).resolve()
    os.environ["MEDIAPROXYD"] = str(daemon.EXECUTABLE)
    os.environ["MEDIAPROXYD_PLUGINS"] = str(daemon.PLUGINS)
    folder, result, begin = runs.begin(tests), Result(), time.monotonic()
    print(f"{len(tests)} tests of {daemon.EXECUTABLE}; logs in {folder}", flush=True)
    try:
        unittest.TestSuite(tests).run(result)
    except KeyboardInterrupt:
        result.problems.append(("the run", "interrupted"))
    if result.problems:
        print(f"\nNot passed (logs in {folder}):")
        for name, text in result.problems:
            print(f"  {name}: {text.strip().splitlines()[0] if text.strip() else ''}")
    elif not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.monotonic() - begin:.0f} s")
    print(f"{result.passed} passed, {len(result.problems)} failed")
    return 1 if result.problems else 0
