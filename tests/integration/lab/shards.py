# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that mostly wait, in several processes at once, each in namespaces of its own."""
import re
import subprocess
import sys
import threading

_TOTALS = re.compile(r"(\d+) passed, (\d+) failed\n")


ALONE = "alone"  # the shard of the classes that say so: they need the whole machine


def of(tests, which):
    """The tests of shard `which` ("1/2": the first of two): whole modules and classes stay together."""
    if which == ALONE:
        return [test for test in tests if getattr(test, ALONE, False)]
    tests = [test for test in tests if not getattr(test, ALONE, False)]
    number, count = (int(word) for word in which.split("/"))
    groups = {}
    for test in tests:
        module = sys.modules[type(test).__module__]
        # What a module sets up, its classes share.
        group = module.__name__ if hasattr(module, "setUpModule") else type(test).__qualname__
        groups.setdefault(group, []).append(test)
    largest_first = sorted(groups.values(), key=len, reverse=True)
    return [test for group in largest_first[number - 1 :: count] for test in group]


def run(count):
    """Starts this program so many times, and once more for those that run alone.

    Shows what they say; the sum is the last line.
    """
    lock, sums = threading.Lock(), [0, 0]

    def show(process):
        totals = None
        for line in process.stdout:
            if found := _TOTALS.fullmatch(line):
                totals = [int(found[1]), int(found[2])]
                continue
            with lock:
                print(line, end="", flush=True)
        status = process.wait()
        if totals is None or (status == 0) != (totals[1] == 0):
            totals = [(totals or [0])[0], (totals or [0, 0])[1] + 1]  # it did not end as it says
        with lock:
            sums[:] = [sums[0] + totals[0], sums[1] + totals[1]]

    def start(shard):
        return subprocess.Popen(
            [sys.executable, *sys.argv, "--shard", shard],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    processes = [start(f"{number}/{count}") for number in range(1, count + 1)]
    readers = [threading.Thread(target=show, args=(process,)) for process in processes]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    show(start(ALONE))
    print(f"{sums[0]} passed, {sums[1]} failed")
    return 1 if sums[1] or not sums[0] else 0
