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


@contextlib.contextmanager
def unhurt(daemon, *, media=True):
    """Whatever happens inside, the daemon is afterwards as it was. `media`: it can serve calls."""
    steady = daemon.connect()
    try:
        if media:
            offered = steady.update("steady", OFFER)
            ports_of(offered)
            answered = steady.update("steady", ANSWER, kind="reply", to_tag="B")
        before = daemon.descriptors(), daemon.media_ports(), resident(daemon)
        yield
        assert daemon.alive(), f"the daemon ended: {daemon.tail()}"
        if media:
            again = steady.update("steady", ANSWER, kind="reply", to_tag="B")
            assert again == answered, f"the steady call has {again}, had {answered}"
            with contextlib.closing(daemon.connect()) as fresh:
                ports_of(fresh.update("fresh", OFFER))
                assert fresh.remove("fresh") == "removed"

        def same():
            return daemon.descriptors() <= before[0] and daemon.media_ports() == before[1]

        until(
            same,
            5,
            lambda: f"descriptors, media ports: {daemon.descriptors()}, {daemon.media_ports()}; "
            f"before: {before[0]}, {before[1]}",
        )
        grown = resident(daemon) - before[2]
        assert grown < SLACK_MEMORY, f"the daemon grew by {grown} kB"
        if media:
            assert steady.remove("steady") == "removed"
    finally:
        steady.close()
