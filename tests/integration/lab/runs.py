# SPDX-License-Identifier: GPL-2.0-or-later
"""What this run of the tests is: the tests that were chosen, and a folder for what they write."""
import itertools
import pathlib
import tempfile

_chosen = []
_folder = None
_numbers = itertools.count(1)


def begin(tests):
    """The runner tells which tests it will run."""
    global _folder
    _chosen[:] = tests
    _folder = pathlib.Path(tempfile.mkdtemp(prefix="mpd-tests-"))
    return _folder


def chosen():
    return _chosen


def folder(name):
    """A new folder for what is so named; short, as paths of UNIX sockets have 108 bytes at most."""
    path = _folder / f"{next(_numbers):03}-{name.removeprefix('test_')[:28]}"
    path.mkdir()
    return path
