#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the test cases in Meson's testlog.json: those that Catch2 reports, else one a program.

What the programs that failed said last goes to standard error.
"""
import json
import re
import sys

ALL_PASSED = re.compile(r"All tests passed \([^)]* in (\d+) test cases?\)")
SOME_FAILED = re.compile(r"^test cases:.*?(?:\| *(\d+) passed *)?\| *(\d+) failed", re.MULTILINE)

LINES_OF_A_FAILURE = 40


def count(entry):
    output = entry.get("stdout", "")
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    if found := SOME_FAILED.search(output):
        return int(found[1] or 0), int(found[2])
    if found := ALL_PASSED.search(output):
        # A program that failed after its cases passed (a sanitizer's report, say) is a failure more.
        return int(found[1]), 0 if good else 1
    return (1, 0) if good else (0, 1)


def tell_failure(entry):
    said = (entry.get("stdout", "") + entry.get("stderr", "")).rstrip().splitlines()
    print("FAILED  %s: %s" % (entry["name"], entry["result"]), file=sys.stderr)
    for line in said[-LINES_OF_A_FAILURE:]:
        print("        " + line, file=sys.stderr)


def main():
    passed = failed = 0
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            entry = json.loads(line)
            if entry["result"] == "SKIP":
                failed += 1
                print("skipped, counted as failed: %s" % entry["name"])
                continue
            good, bad = count(entry)
            if bad:
                tell_failure(entry)
            passed += good
            failed += bad
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
