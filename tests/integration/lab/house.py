# SPDX-License-Identifier: GPL-2.0-or-later
"""The house of the Kamailio tests: namespaces, a daemon in both roles, a Kamailio per mode."""
import asyncio
import threading

from . import netns
from .daemon import Daemon, free_port, merged
from .kamailio import Kamailio

MODES = ("engage", "use")
AT_ONCE = 8  # calls at the same time


class House:
    """Calls run on an asyncio loop in a thread of its own, several at a time."""

    port_range = (50000, 52000)

    def __init__(self, folder, forwarding, tables=None, changes=None):
        """`forwarding` and `tables` are the settings of that name: the back end.

        `changes` are laid over the daemon's settings.
        """
        self.folder, self.forwarding, self.tables = folder, forwarding, tables or {}
        self.changes = changes or {}
        self.daemon = None
        self.descriptors = 0  # of the daemon before the proxies connect
        self._kamailios = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._calls = {}

    def build(self):
        netns.make_house()
        low, high = self.port_range
        settings = {
            "role": "both",
            "dispatcher": {
                "socket_path": "dispatcher.sock",
                "listen": [],
                "accounting": ["sqlite"],
                "management": {"listen": f"127.0.0.1:{free_port('proxy')}", "use_tls": False},
            },
            "relay": {
                "forwarding": self.forwarding,
                "relay_ip": list(netns.PROXY.values()),
                "port_range": f"{low}:{high}",
                "routable_private_ranges": ["10.91.0.0/16", "fd91::/16"],
            },
            "forwarding": self.tables,
            "accounting": {"sqlite": {"path": "sessions.sqlite"}},
        }
        self.daemon = Daemon(
            "daemon", self.folder, merged(settings, self.changes), place="proxy"
        ).start()
        self.descriptors = self.daemon.descriptors()
        for number, mode in enumerate(MODES):
            self._kamailios[mode] = Kamailio(
                mode, 5060 + number, self.daemon.control_socket, self.folder
            )
            self._kamailios[mode].start()
        self._thread.start()
        return self

    def proxy_port(self, mode):
        return self._kamailios[mode].port

    def begin(self, key, coroutine):
        """Queues a call; it starts when it is its turn."""

        async def in_turn():
            async with self._turn:
                return await asyncio.wait_for(coroutine(), 40)

        self._calls[key] = asyncio.run_coroutine_threadsafe(in_turn(), self._loop)

    def result(self, key):
        """Waits for a queued call."""
        return self._calls[key].result(300)

    def complaints(self):
        return [
            f"{mode}: {line}"
            for mode, kamailio in self._kamailios.items()
            for line in kamailio.complaints()
        ]

    def stop_proxies(self):
        for kamailio in self._kamailios.values():
            kamailio.stop()

    def close(self):
        self.stop_proxies()
        if self.daemon:
            self.daemon.stop()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        netns.remove_house()
