# SPDX-License-Identifier: GPL-2.0-or-later
"""What this run of the tests is: the tests that were chosen, and a folder for what they write."""
import pathlib
import tempfile

_chosen = []
_folder = None


def begin(tests):
    """The runner tells which tests it will run."""
    global _folder
    _chosen[:] = tests
    _folder = pathlib.Path(tempfile.mkdtemp(prefix="mediaproxyd-tests-"))
    return _folder


def chosen():
    return _chosen


def folder(name):
    """A new folder of that name in this run's own."""
    path = _folder / name
    path.mkdir()
    return path
