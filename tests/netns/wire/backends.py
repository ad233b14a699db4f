# SPDX-License-Identifier: GPL-2.0-or-later
"""What the relay may forward with, and tests for each of them."""
import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Backend:
    name: str
    forwarding: str  # the setting
    kernel: bool = True  # packets do not come to the process
    netdev: bool = False  # packets do not come to the kernel's routing
    # The first datagram above 2048 bytes of a leg: io_uring's buffers are smaller, the next one's not.
    loses_first_large: bool = False

    def settings(self, place):
        """The [forwarding.NAME] table."""
        if self.netdev:
            return {self.forwarding: {"plugin": "nftables", "devices": place.devices}}
        return {}


USERSPACE = Backend("userspace", "userspace", kernel=False, loses_first_large=True)
NFTABLES = Backend("nftables", "nftables")
NETDEV = Backend("netdev", "netdev", netdev=True)
CONNTRACK = Backend("conntrack", "conntrack")
ALL = (NFTABLES, NETDEV, CONNTRACK, USERSPACE)
KERNEL = (NFTABLES, NETDEV, CONNTRACK)


def with_each(backends):
    """Puts a copy of the test case for each back end beside it, in its place."""

    def decorate(case):
        module = sys.modules[case.__module__]
        for backend in backends:
            name = f"{case.__name__}_{backend.name}"
            made = type(name, (case, case.unittest_base), {"backend": backend})
            made.__module__ = case.__module__
            made.__qualname__ = name
            setattr(module, name, made)
        return case

    return decorate
