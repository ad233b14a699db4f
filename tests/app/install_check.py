#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `ninja install` leaves of the configuration and puts into man pages. Arguments: build folder,
folder of the configuration, plugin folder."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD, CONFDIR, PLUGINDIR = sys.argv[1:]


class Install(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="mediaproxyd-install-")
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.configuration = pathlib.Path(scratch.name + CONFDIR) / "mediaproxyd.toml"
        self.install()

    def install(self):
        subprocess.run(["meson", "install", "--no-rebuild", "--tags", "config,man",
                        "--destdir", str(self.root)], cwd=BUILD, check=True, capture_output=True)

    def test_the_first_one_brings_the_sample_with_the_folders_of_this_build(self):
        self.assertIn(f'#plugin_dir = "{PLUGINDIR}"', self.configuration.read_text())
        self.assertEqual(self.configuration.stat().st_mode & 0o777, 0o644)

    def test_a_later_one_keeps_what_was_edited_and_brings_the_new_sample_beside_it(self):
        edited = sorted(path for path in self.configuration.parent.rglob("*") if path.is_file())
        for path in edited:
            path.write_text("mine\n")
        samples = [path for path in self.root.rglob("mediaproxyd.toml") if path != self.configuration]
        self.assertEqual(len(samples), 1)
        samples[0].unlink()
        self.install()
        self.assertEqual({path.read_text() for path in edited}, {"mine\n"})
        self.assertIn(f'#plugin_dir = "{PLUGINDIR}"', samples[0].read_text())

    def test_man_pages_name_the_folders_of_this_build(self):
        pages = list(self.root.rglob("mediaproxyd*.[578]"))
        self.assertEqual(len(pages), 4)
        for page in pages:
            self.assertEqual(re.findall("@[a-z]+@", page.read_text(encoding="utf-8")), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
