# SPDX-License-Identifier: GPL-2.0-or-later
"""Where we differ from MediaProxy 4.1, and the rule of the wire contracts that wants it.

A row: the rule (section of the contracts and a few of their words), the transcript (the beginning of
its name), the side that was replayed, the lines of the transcript (none: any), what was compared, what
4.1 said, what we say. `*` stands for anything.
"""

from golden_compare import Difference

# Notes in whose packets the relay must see a stranger: they are no part of the call's counters.
STRAYS = {"11": (73, 81, 218)}

REMOVED = ("2", "`remove` of an unknown or already expired session: `removed`")
REMOVED_LATER = ("2", "`removed`, kept durably and delivered when the relay is back")
REQUIRED = ("2", "required headers ... call_id, from_tag")
OPTIONAL = ("3", "`signaling_ip` and `user_agent` may be missing (4.x answers `error`)")
FILLED_IN = (
    "2",
    "sent as `unknown agent` and an absent signaling_ip as the first stream's address",
)
NO_MEDIA = ("3", "the ports as they are if the session exists, else `error`, nothing created")
UNREADABLE = ("3", "with `media` that cannot be read, or addresses that the relay cannot serve")
ANYTHING_ELSE = ("1", "anything that fails | `error`")
NEVER_CLOSED = ("1", "a connection closed between command and answer has the same cost")
PORT_ZERO = ("3", "port 0: answered 0, no stream at that place of the new set")
PER_STREAM = ("1", "one RTP port per stream of the request, in its order")
EXTRA = ("3", "more: the extra ones are ignored, port 0")
FILLED_UP = ("2", "missing ports are filled up with 0")
WRONG_TYPE = ("3", "a media type that differs at its place: `error`, the session as before")
RETRANSMITTED = ("3", "a retransmission when the media is the same")
FOUR_ROUNDS = ("3", "of an unknown round that is not newer ... Keep the last four rounds")
FORK = ("3", "a `remove` that names only it forgets it and leaves the call")
RELAY_NONE = ("2", "from a relay, `None`, an empty or malformed result is `error` to the proxy")
TWO_TAGS = ("2", "the directory's key is (call_id, from_tag), found by either tag")
ONE_LINE = ("2", "`SEQ RESULT` on one line")
FIRST_TAG = ("3", "the session's to_tag is that of the first reply that has one")
HELD = ("3", "or gives `0.0.0.0`/`::` ... the stream's status is `on hold`")
COUNTED = ("4", "counters are 64-bit and count every packet, slow path and fast path")
RTCP_PORT = ("3", "RTCP's being the RTP one with port+1 (4.x never uses it")
RELEARNED = ("3", "**reset**: learn again ... if that is routable ... Otherwise media is dropped")
OLD_SOURCE = ("3", "unless its IP is the new signalled one or this message's `signaling_ip`")
DUPLICATE = ("8", "index the other three without uniqueness")
ENDED_DIALOG = ("7", "MediaProxy 4.1 ends no expired call on any of these")
HELLO = ("2", "an old dispatcher ignores (logs) a line that it does not know")

_NOT_ASKED = "(not asked)"
_PORTS = "20.3.0.1 *"


def _row(rule, file, side, what, theirs, ours, *lines):
    return Difference(rule, file, side, lines, what, theirs, ours)


_GENERAL = [
    _row(ENDED_DIALOG, "*", "dispatcher", "end of dialog", "*", "(not sent)"),
    _row(HELLO, "*", "relay", "line", "(nothing)", "hello {*"),
    *(
        _row(COUNTED, file, "relay", f"stream *_{unit}", "*", "as sent")
        for file in ("01", "04", "05", "06", "11")
        for unit in ("packets", "bytes")
    ),
]

_DISPATCHER = [
    _row(REMOVED, "01", "dispatcher", "answer", "error", "removed", 163),
    _row(REMOVED, "02", "dispatcher", "answer", "error", "removed", 12),
    _row(ANYTHING_ELSE, "02", "dispatcher", "answer", "(closed)", "error", 66),
    _row(
        REQUIRED,
        "02",
        "dispatcher",
        "asked",
        "update *",
        _NOT_ASKED,
        81,
        108,
        135,
        162,
        189,
        382,
        466,
        494,
        523,
    ),
    _row(FILLED_IN, "02", "dispatcher", "header added", "", "user_agent: unknown agent", 216, 410),
    _row(FILLED_IN, "02", "dispatcher", "header added", "", "signaling_ip: 20.1.0.2", 243, 438),
    _row(NO_MEDIA, "02", "dispatcher", "asked", "update call_id: miss-media", _NOT_ASKED, 354),
    _row(NO_MEDIA, "02", "dispatcher", "answer", "None", "error", 366),
    _row(
        UNREADABLE,
        "02",
        "dispatcher",
        "asked",
        "update *",
        _NOT_ASKED,
        552,
        581,
        610,
        697,
        726,
        755,
        784,
    ),
    _row(UNREADABLE, "02", "dispatcher", "answer", "None", "error", 565, 594, 623, 710),
    _row(UNREADABLE, "02", "dispatcher", "answer", _PORTS, "error", 739, 768, 797),
    _row(ANYTHING_ELSE, "02", "dispatcher", "asked", "* call_id: ok6", _NOT_ASKED, 1003, 1013),
    _row(ANYTHING_ELSE, "02", "dispatcher", "answer", '{"ip": *', "error", 1017),
    _row(REQUIRED, "02", "dispatcher", "asked", "remove call_id: ok6", _NOT_ASKED, 1026),
    _row(TWO_TAGS, "02", "dispatcher", "asked", "remove call_id: ok6", _NOT_ASKED, 1037),
    _row(REMOVED, "02", "dispatcher", "answer", "error", "removed", 1043),
    _row(NEVER_CLOSED, "02", "dispatcher", "answer", "(closed)", "error", 1081),
    _row(FILLED_UP, "03", "dispatcher", "answer", "20.3.0.1 40028", "20.3.0.1 40028 0", 353),
    _row(NO_MEDIA, "03", "dispatcher", "asked", "update call_id: c7", _NOT_ASKED, 450),
    _row(NO_MEDIA, "03", "dispatcher", "answer", "None", "error", 463, 706),
    _row(REMOVED, "03", "dispatcher", "asked", "remove call_id: c7", _NOT_ASKED, 475),
    _row(REMOVED, "03", "dispatcher", "answer", "error", "removed", 481),
    _row(NO_MEDIA, "03", "dispatcher", "asked", "update call_id: c10", _NOT_ASKED, 694),
    _row(RELAY_NONE, "03", "dispatcher", "answer", "None", "error", 1407),
    _row(TWO_TAGS, "03", "dispatcher", "asked", "(nothing)", "remove call_id: c14", 1668),
    _row(REMOVED, "03", "dispatcher", "answer", "error", "removed", 1668),
    _row(REMOVED, "05", "dispatcher", "answer", "error", "removed", 310, 316),
    _row(REMOVED, "06", "dispatcher", "answer", "error", "removed", 206, 212),
    _row(REMOVED_LATER, "07", "dispatcher", "answer", "error", "removed", 327, 363),
    _row(REMOVED_LATER, "07", "dispatcher", "asked", "(nothing)", "remove call_id: h2"),
    _row(REMOVED, "07", "dispatcher", "answer", "error", "removed", 369),
    _row(DUPLICATE, "15", "dispatcher", "row", "(none)", "('dup', 'ftag', 'ttag')", 291),
]

_RELAY = [
    _row(RTCP_PORT, "01", "relay", "received", "0 from []", "2 from ['20.3.0.1:40003']", 114),
    _row(OPTIONAL, "02", "relay", "update", "error", "20.3.0.1 new", 227, 254, 421, 449, 941),
    _row(OPTIONAL, "02", "relay", "expired", "(nothing)", "*-user_agent", 1181),
    _row(OPTIONAL, "02", "relay", "expired", "(nothing)", "*-signaling_ip", 1181),
    _row(OPTIONAL, "02", "relay", "expired", "(nothing)", "sig3", 1181),
    _row(NO_MEDIA, "02", "relay", "update", "None", "error", 365),
    _row(UNREADABLE, "02", "relay", "update", "None", "error", 564, 593, 622, 709),
    _row(UNREADABLE, "02", "relay", "update", _PORTS, "error", 738, 767, 796),
    _row(UNREADABLE, "02", "relay", "expired", "ok*", "(nothing)", 1150, 1151, 1152),
    _row(UNREADABLE, "02", "relay", "session", "*", "(none)", 1172),
    _row(
        UNREADABLE,
        "02",
        "relay",
        "expired",
        "*",
        "(nothing)",
        1174,
        1175,
        1176,
        1177,
        1178,
    ),
    # The calls that one of us took and the other did not, as above, in the totals.
    _row(UNREADABLE, "02", "relay", "summary session_count", "19", "16", 1016),
    _row(UNREADABLE, "02", "relay", "summary stream_count.audio", "14", "16", 1016),
    _row(UNREADABLE, "02", "relay", "summary session_count", "20", "17", 1144),
    _row(UNREADABLE, "02", "relay", "summary stream_count.audio", "15", "17", 1144),
    _row(UNREADABLE, "02", "relay", "summary session_count", "5", "0", 1165),
    _row(ONE_LINE, "02", "relay", "line", "ok6 error", "(nothing)", 1007),
    _row(PORT_ZERO, "03", "relay", "stream", "video closed", "(none)", 67, 79),
    _row(PORT_ZERO, "03", "relay", "stream", "audio closed", "(none)", 149),
    _row(PER_STREAM, "03", "relay", "update", "20.3.0.1 40020 0", "20.3.0.1 new", 282),
    _row(EXTRA, "03", "relay", "update", "20.3.0.1 40028", "20.3.0.1 new 0", 352),
    _row(WRONG_TYPE, "03", "relay", "stream", "audio closed", "(none)", 434),
    _row(WRONG_TYPE, "03", "relay", "remove to_tag", '"ttag"', "null", 434),
    _row(WRONG_TYPE, "03", "relay", "remove start_time", "*", "null", 434),
    _row(WRONG_TYPE, "03", "relay", "remove callee_ua", '"UA-bob/1.0"', '"Unknown"', 434),
    _row(NO_MEDIA, "03", "relay", "update", "None", "error", 462, 705),
    _row(NO_MEDIA, "03", "relay", "update", "20.3.0.1 0", "20.3.0.1 new", 632, 661),
    _row(NO_MEDIA, "03", "relay", "stream status", '"rejected"', '"active"', 666),
    _row(NO_MEDIA, "03", "relay", "stream status", '"rejected"', '"closed"', 678),
    _row(RETRANSMITTED, "03", "relay", "stream", "audio active", "(none)", 847),
    _row(RETRANSMITTED, "03", "relay", "sessions start_time", "*", "null", 847),
    _row(RETRANSMITTED, "03", "relay", "stream", "audio closed", "(none)", 859),
    _row(RETRANSMITTED, "03", "relay", "remove start_time", "*", "null", 859),
    _row(FOUR_ROUNDS, "03", "relay", "update", "20.3.0.1 0", "error", 1376),
    _row(FOUR_ROUNDS, "03", "relay", "update", "None", "error", 1406),
    _row(FORK, "03", "relay", "stream status", '"closed"', '"active"', 1587),
    _row(FORK, "03", "relay", "session", "(none)", "c13", 1649, 1706),
    _row(FORK, "03", "relay", "summary session_count", "1", "2", 1672),
    _row(FORK, "03", "relay", "summary stream_count.audio", "1", "2", 1672),
    _row(FORK, "03", "relay", "expired", "(nothing)", "c13", 1736),
    _row(HELD, "04", "relay", "stream status", '"active"', '"on hold"', 443),
    _row(FIRST_TAG, "05", "relay", "remove to_tag", '"ttag"', "null", 429),
    _row(RELEARNED, "11", "relay", "received", "3 from *", "0 from []", 214),
    _row(OLD_SOURCE, "11", "relay", "received", "0 from []", "3 from ['20.3.0.1:40004']", 217),
    _row(OLD_SOURCE, "11", "relay", "received", "3 from *", "0 from []", 219),
    _row(
        OLD_SOURCE,
        "11",
        "relay",
        "stream callee_remote",
        '"20.2.0.2:6060"',
        '"20.2.0.2:6000"',
        226,
        297,
        321,
    ),
]

TABLE = [*_GENERAL, *_DISPATCHER, *_RELAY]
