# SPDX-License-Identifier: GPL-2.0-or-later
"""What only root of the whole machine can show: `tests/netns/run --real-root`; others fail here."""
import pathlib
import shutil
import time
import unittest.mock

from lab import daemon as lab_daemon
from wire.backends import ALL, KERNEL, with_each
from wire.case import Forwarding, story

CALLS = 2000
RATE = 5  # packets a second of each phone: twenty thousand in all
USER = "65534"  # nobody
AS_NOBODY = (
    *("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"),
    *("--inh-caps", "-all,+net_admin", "--ambient-caps", "-all,+net_admin"),
    *("--bounding-set", "-all,+net_admin"),
)
INITIAL_USER_NAMESPACE = "4294967295"  # how many users it maps


class RealRoot(Forwarding):
    def setUp(self):
        mapped = pathlib.Path("/proc/self/uid_map").read_text(encoding="ascii").split()
        self.assertEqual(
            mapped, ["0", "0", INITIAL_USER_NAMESPACE], "this needs root of the whole machine"
        )
        super().setUp()


@with_each(KERNEL)
class Buffers(RealRoot):
    def test_two_thousand_calls_at_once(self):
        """SO_RCVBUFFORCE, which root alone may, lets replies of a burst in: none is missed."""
        self.make_place()
        daemon = self.start()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS)
        load = self.phones(calls, RATE)
        load.start()
        self.until_forwarded(daemon, CALLS)
        sent = load.report().total("sent")
        load.until_sent(sent + 4 * CALLS, 10)
        load.pause()
        report = self.assert_media_whole(load)
        self.assert_counted(daemon, calls, report)
        begin = time.monotonic()
        self.assert_recorded(daemon, proxy, calls, report)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(daemon.logged("No buffer space"), [], story(daemon))
        daemon.stop()


@with_each(ALL)
class OneCapability(RealRoot):
    def install(self):
        """The daemon and its plugins where everybody may read them: a clone may stand in /root."""
        program = shutil.copy(lab_daemon.EXECUTABLE, self.folder / "mediaproxyd")
        for plugin in lab_daemon.PLUGINS.glob("*.so"):
            shutil.copy(plugin, self.folder)
        patch = unittest.mock.patch.object(lab_daemon, "EXECUTABLE", program)
        patch.start()
        self.addCleanup(patch.stop)
        return self.folder

    def test_net_admin_is_all_that_it_needs(self):
        """As a user like any other, with this one capability, as the systemd unit starts it."""
        self.make_place()
        for folder in (self.folder, self.folder.parent):
            folder.chmod(0o755)
        daemon = self.start(
            wrapper=AS_NOBODY, owner=int(USER), changes={"plugin_dir": str(self.install())}
        )
        calls = self.calls(self.proxy(daemon), 20)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, 20)
        load.pause()
        self.assert_counted(daemon, calls, self.assert_media_whole(load))
        daemon.stop()
        self.assertEqual(self.place.tables(), [])
