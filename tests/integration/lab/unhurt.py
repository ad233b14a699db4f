# SPDX-License-Identifier: GPL-2.0-or-later
"""That bad input harmed nothing: the old call stands, a new one works, nothing leaked."""
import contextlib

from .cluster import ports_of
from .daemon import until

OFFER = "audio:127.0.0.1:30000:sendrecv:ice=no"
ANSWER = "audio:127.0.0.1:31000:sendrecv:ice=no"
SLACK_MEMORY = 24 * 1024  # kB that a daemon may grow by: buffers that it keeps


def resident(daemon):
    """Its resident memory in kB."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def slack_memory(daemon):
    """kB that it may grow by. TSan keeps five bytes about each byte that is used for the first time."""
    with open(f"/proc/{daemon.pid}/maps", encoding="ascii", errors="replace") as lines:
        return SLACK_MEMORY * (6 if "libtsan" in lines.read() else 1)


def whole_range(daemon, taken=0):
    """Every stream that the range has room for can be had, besides those `taken`: none is lost.

    Needs a range that is smaller than the descriptors allow.
    """
    low, high = (int(port) for port in daemon.settings["relay"]["port_range"].split(":"))
    room = (high - low) // 4 - taken
    with contextlib.closing(daemon.connect()) as proxy:
        had = 0
        while proxy.update(f"room-{had}", OFFER) != "error":
            had += 1
            assert had <= room, f"more than {room} streams in {low}:{high}"
        for number in range(had):
            assert proxy.remove(f"room-{number}") == "removed"
    assert had == room, f"room for {had} streams only, not {room}: ports are lost"


@contextlib.contextmanager
def unhurt(daemon, *, media=True):
    """Whatever happens inside, the daemon is afterwards as it was. `media`: it can serve calls.

    Media sockets are recycled, so their number says nothing; that all can be had does.
    """
    steady = daemon.connect()
    try:
        if media:
            offered = steady.update("steady", OFFER)
            ports_of(offered)
            answered = steady.update("steady", ANSWER, kind="reply", to_tag="B")
        assert steady.remove("nobody") == "removed"  # the connection has been accepted
        before = daemon.descriptors(), resident(daemon)
        yield
        assert daemon.alive(), f"the daemon ended: {daemon.tail()}"
        if media:
            again = steady.update("steady", ANSWER, kind="reply", to_tag="B")
            assert again == answered, f"the steady call has {again}, had {answered}"
            whole_range(daemon, taken=1)
        until(
            lambda: daemon.descriptors() <= before[0],
            15,
            lambda: f"{daemon.descriptors()} descriptors, {before[0]} before",
        )
        grown = resident(daemon) - before[1]
        assert grown < slack_memory(daemon), f"the daemon grew by {grown} kB"
        if media:
            assert steady.remove("steady") == "removed"
    finally:
        steady.close()
