# SPDX-License-Identifier: GPL-2.0-or-later
"""Where we differ from MediaProxy 4.1, and the rule of the wire contracts that wants it.

A row has the section of the contracts with a few of their words, the transcript (the beginning of its
name), the side that was replayed, lines of it, and what was found: what 4.1 said, what we say.
"""

from golden_compare import Difference

# Notes in whose packets the relay must see a stranger: they are no part of the call's counters.
STRAYS = {"11": (73, 81, 218)}

TABLE = [
    Difference(
        ("7", "MediaProxy 4.1 ends no expired call on any of these"),
        side="dispatcher",
        what="end of dialog",
        ours="(not sent)",
    ),
    Difference(
        ("2", "may be upset by our handshake"),
        side="relay",
        what="line",
        theirs="(nothing)",
        ours="hello {*",
    ),
]
