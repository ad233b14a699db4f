# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the accounting row of a call says what happened in it."""
import asyncio
import time

from .sipp import Failed

CODECS = {
    "audio": "G711u",
    "video": "G711u",
    "image": "Unknown",
}  # the phones say payload type 0 whatever they are


def _endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else None


def expected_streams(streams, statuses):
    """What the record must say of each stream, from the phones' own counts."""
    for stream, status in zip(streams, statuses):
        expected = {"media_type": stream.kind, "status": status}
        for side, phone, told in (
            ("caller", stream.alice, stream.relay["alice"]),
            ("callee", stream.bob, stream.relay["bob"]),
        ):
            if status == "rejected":
                continue
            expected[f"{side}_packets"] = sum(flow.sent_packets() for flow in phone.flows)
            expected[f"{side}_bytes"] = sum(flow.sent_bytes() for flow in phone.flows)
            expected[f"{side}_codec"] = CODECS[stream.kind]
            expected[f"{side}_remote"] = phone.media.local
            expected[f"{side}_local"] = next(iter(told))
        yield expected


def compare(info, expected):
    """The differences, as sentences."""
    found = []
    for key, wanted in expected.items():
        actual = info.get(key, "(absent)")
        if key.endswith(("_local", "_remote")):
            actual = _endpoint(str(actual))
        if actual != wanted:
            found.append(f"{key} is {actual!r}, not {wanted!r}")
    return found


def differences(call, row, statuses, answered, timed_out):
    from_tag, to_tag, info = row[1:]
    found = []
    if (from_tag, to_tag) != (call.alice.tag, call.bob.tag if answered else None):
        found.append(f"tags are {from_tag!r} and {to_tag!r}")
    found += compare(
        info,
        {
            "call_id": call.call_id,
            "from_tag": call.alice.tag,
            "to_tag": call.bob.tag if answered else None,
            "from_uri": "alice@example.com",
            "to_uri": "bob@example.net",
            "caller_ua": call.alice.agent,
            "callee_ua": call.bob.agent,
            "username": None,
            "timed_out": timed_out,
        },
    )
    if (call.mode == "engage") != bool(info.get("dialog_id")):
        found.append(f"dialog_id is {info.get('dialog_id')!r}")
    if not info.get("record_id"):
        found.append("no record_id")
    if answered != (info.get("answered_time") is not None):
        found.append(f"answered_time is {info.get('answered_time')!r}")
    if not isinstance(info.get("start_time"), float):
        found.append(f"start_time is {info.get('start_time')!r}")
    else:
        least, most = (moment - info["start_time"] for moment in (call.hung_up, call.ended))
        if not least - 1 <= info["duration"] <= most + 0.5:
            found.append(f"duration is {info['duration']}, not {least:.1f} to {most:.1f} s")
    if len(info["streams"]) != len(statuses):
        return [*found, f"{len(info['streams'])} streams, not {len(statuses)}: {info['streams']}"]
    for number, (stream, expected) in enumerate(
        zip(info["streams"], expected_streams(call.streams, statuses))
    ):
        found += [f"stream {number}: {what}" for what in compare(stream, expected)]
        if not 0 <= stream["start_time"] <= stream["end_time"] <= info["duration"] + 1:
            found.append(f"stream {number}: from {stream['start_time']} to {stream['end_time']}")
        if expected["status"] == "closed" and not isinstance(stream["post_dial_delay"], float):
            found.append(f"stream {number}: post_dial_delay is {stream['post_dial_delay']!r}")
    return found


async def check(call, statuses, answered=True, timed_out=False):
    """One row, and a right one: the call's streams, by start, ended with these statuses."""
    daemon, deadline = call.house.daemon, time.monotonic() + 5
    while not (rows := daemon.rows(call.call_id)):
        if time.monotonic() > deadline:
            raise Failed("no accounting row")
        await asyncio.sleep(0.02)
    if len(rows) != 1:
        raise Failed(f"{len(rows)} accounting rows")
    if found := differences(call, rows[0], statuses, answered, timed_out):
        raise Failed("the accounting row is wrong: " + "; ".join(found))


async def check_none(call):
    """The session is gone and nobody pays for it. (The last test counts all rows once more.)"""
    deadline = time.monotonic() + 5
    while any(session["call_id"] == call.call_id for session in call.house.daemon.sessions()):
        if time.monotonic() > deadline:
            raise Failed("the session is still there")
        await asyncio.sleep(0.02)
    if call.house.daemon.rows(call.call_id):
        raise Failed("an accounting row of a call that nobody answered")
