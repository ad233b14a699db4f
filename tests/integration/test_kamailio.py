# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls through Kamailio's mediaproxy module, in both its modes, every packet counted."""
import unittest

from lab import netns, record, runs, unhurt
from lab.call import Call
from lab.daemon import until
from lab.house import House
from lab.sipp import Failed

CANDIDATES = ("ice-ufrag:abcd", "ice-pwd:abcdefghijklmnopqrstuvwx")


def candidate(address, port, component=1):
    return f"candidate:1 {component} UDP 2130706431 {address} {port} typ host"


async def place(call, streams, *, offer=None, answer=None):
    """Runs INVITE to 200, the steps being written already; the phones learn where to send."""
    await call.play()
    invite = await call.bob.got("INVITE", 1)
    answered = await call.alice.got(200, 1)
    call.connect(invite, answered, *streams)
    return invite, answered


async def hang_up(call, side=None):
    """The media stops, then `side` says BYE; nothing was lost up to there."""
    await call.hush()
    (side or call.alice).open_gate()
    await call.finish()
    call.check_media()


async def basic_call(call):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(200, provisional=[180]).ack().gate().bye()
    call.bob.on("INVITE").reply(180).reply(200, call.offer("bob", audio)).on("ACK").reply_bye()
    await place(call, [audio])
    await call.talk(audio)
    await hang_up(call)
    await record.check(call, ["closed"])


async def callee_bye(call):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(200).ack().reply_bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").gate().bye()
    await place(call, [audio])
    await call.talk(audio)
    await hang_up(call, call.bob)
    await record.check(call, ["closed"])


async def _early_media(call, final):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(183).expect(200).ack().gate().bye()
    call.bob.on("INVITE").reply(183, call.offer("bob", audio)).gate().reply(200, final(audio)).on(
        "ACK"
    ).reply_bye()
    await call.play()
    invite = await call.bob.got("INVITE", 1)
    early = await call.alice.got(183, 1)
    call.connect(invite, early, audio)
    await call.talk(audio, seconds=0.5)
    call.bob.open_gate()
    answered = await call.alice.got(200, 1)
    if answered.body and answered.sdp[0].port != early.sdp[0].port:
        raise Failed("the 200 has other ports than the 183")
    await call.talk(audio, seconds=0.5)
    await hang_up(call)
    await record.check(call, ["closed"])


async def early_media(call):
    await _early_media(call, lambda audio: call.offer("bob", audio))


async def early_media_then_200_without_sdp(call):
    await _early_media(call, lambda audio: None)


async def _hold(call, on_hold, answer, bob_hears):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(200).ack().gate()
    call.alice.invite(on_hold(audio)).expect(200).ack().gate()
    call.alice.invite(call.offer("alice", audio)).expect(200).ack().gate().bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK")
    call.bob.on("INVITE").reply(200, answer(audio)).on("ACK")
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").reply_bye()
    first, _ = await place(call, [audio])
    await call.talk(audio, seconds=0.4)
    call.alice.open_gate()
    held, answered = await call.bob.got("INVITE", 2), await call.alice.got(200, 2)
    call.connect(held, answered, audio)
    if held.sdp[0].port != first.sdp[0].port:
        raise Failed("another port while on hold")
    audio.bob.hush()  # alice goes on with music
    before = len(audio.bob.media.heard)
    await call.talk_one_way(audio.alice, seconds=0.5)
    if bob_hears and len(audio.bob.media.heard) < before + 10:
        raise Failed("bob hears no music on hold")
    call.alice.open_gate()
    call.connect(await call.bob.got("INVITE", 3), await call.alice.got(200, 3), audio)
    await call.talk(audio, seconds=0.5)
    await hang_up(call)
    await record.check(call, ["closed"])


async def hold_and_resume(call):
    await _hold(
        call,
        lambda audio: call.offer("alice", audio, directions="sendonly"),
        lambda audio: call.offer("bob", audio, directions="recvonly"),
        bob_hears=True,
    )


async def hold_with_null_address(call):
    null = "::" if call.family == 6 else "0.0.0.0"
    await _hold(
        call,
        lambda audio: call.offer("alice", audio, address=null),
        lambda audio: call.offer("bob", audio),
        bob_hears=True,
    )


async def _add_video(call, answer_video):
    """A re-INVITE with video while audio goes on; bob answers it with yes, port 0, or 488."""
    audio, video = call.stream(), call.stream("video")
    call.alice.invite(call.offer("alice", audio)).expect(200).ack().gate()
    call.alice.invite(call.offer("alice", audio, video))
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").on("INVITE")
    if answer_video == 488:
        call.alice.expect(488).ack_refusal().gate().bye()
        call.bob.reply(488).on("ACK").reply_bye()
    else:
        call.alice.expect(200).ack().gate().bye()
        refused = [] if answer_video == "yes" else [video]
        call.bob.reply(200, call.offer("bob", audio, video, refuse=refused)).on("ACK").reply_bye()
    video.refused = answer_video != "yes"
    await place(call, [audio])
    await call.talk(audio, seconds=0.4)
    call.alice.open_gate()
    invite = await call.bob.got("INVITE", 2)
    if invite.sdp[1].address != netns.PROXY[call.family]:
        raise Failed("the offered video is not at the relay")
    if answer_video == 488:
        await call.alice.got(488, 2)
    else:
        call.connect(invite, await call.alice.got(200, 2), audio, video)
    await call.talk(*([audio, video] if answer_video == "yes" else [audio]), seconds=0.6)
    await hang_up(call)
    await record.check(
        call,
        {"yes": ["closed", "closed"], "port 0": ["closed", "rejected"], 488: ["closed"]}[
            answer_video
        ],
    )


async def add_video(call):
    await _add_video(call, "yes")


async def add_video_refused_by_port_0(call):
    await _add_video(call, "port 0")


async def add_video_refused_by_488(call):
    await _add_video(call, 488)


async def callee_reinvite(call):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(200).ack()
    call.alice.on("INVITE").reply(200, call.offer("alice", audio)).on("ACK").gate().bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").gate()
    call.bob.invite(call.offer("bob", audio)).expect(200).ack().reply_bye()
    await place(call, [audio])
    await call.talk(audio, seconds=0.5)
    call.bob.open_gate()
    call.connect(
        await call.alice.got("INVITE", 1), await call.bob.got(200, 1), audio, offerer="bob"
    )
    await call.talk(audio, seconds=0.5)
    await hang_up(call)
    if any(len(told) != 1 for told in audio.relay.values()):
        raise Failed(f"the ports changed: {audio.relay}")
    await record.check(call, ["closed"])


async def callee_reinvite_from_other_phones(call):
    """Both move to other phones: another stream, with other relay ports; the first is closed."""
    audio, moved = call.stream(), call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(200).ack()
    call.alice.on("INVITE").reply(200, call.offer("alice", moved)).on("ACK").gate().bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").gate()
    call.bob.invite(call.offer("bob", moved)).expect(200).ack().reply_bye()
    await place(call, [audio])
    await call.talk(audio, seconds=0.5)
    await call.hush()
    call.bob.open_gate()
    call.connect(
        await call.alice.got("INVITE", 1), await call.bob.got(200, 1), moved, offerer="bob"
    )
    await call.talk(moved, seconds=0.5)
    await hang_up(call)
    await record.check(call, ["closed", "closed"])


async def cancel(call):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(180).gate().cancel()
    call.bob.on("INVITE").reply(180).on("CANCEL").reply_cancelled()
    await call.play()
    await call.alice.got(180)
    call.alice.open_gate()
    await call.finish()
    await record.check_none(call)


async def cancel_after_early_media(call):
    """A 183 with SDP is an answer with media: this call has a row, without answered_time."""
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(183).gate().cancel()
    call.bob.on("INVITE").reply(183, call.offer("bob", audio)).on("CANCEL").reply_cancelled()
    await call.play()
    call.connect(await call.bob.got("INVITE", 1), await call.alice.got(183, 1), audio)
    await call.talk(audio, seconds=0.5)
    await hang_up(call)
    await record.check(call, ["closed"], answered=False)


async def busy(call):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio)).expect(486).ack_refusal()
    call.bob.on("INVITE").reply(486).on("ACK")
    await call.play()
    await call.alice.got(486)
    await call.finish()
    await record.check_none(call)


async def offerless_invite(call):
    audio = call.stream()
    call.alice.invite().expect(200).ack(call.offer("alice", audio)).gate().bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").reply_bye()
    await call.play()
    offer = await call.alice.got(200, 1)
    answer = await call.bob.got("ACK", 1)
    call.connect(offer, answer, audio, offerer="bob")
    await call.talk(audio)
    await hang_up(call)
    await record.check(call, ["closed"])


async def t38_reinvite(call):
    audio, image = call.stream(), call.stream("image")
    call.alice.invite(call.offer("alice", audio)).expect(200).ack().gate()
    call.alice.invite(call.offer("alice", image)).expect(200).ack().gate().bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK")
    call.bob.on("INVITE").reply(200, call.offer("bob", image)).on("ACK").reply_bye()
    await place(call, [audio])
    await call.talk(audio, seconds=0.5)
    await call.hush()
    call.alice.open_gate()
    call.connect(await call.bob.got("INVITE", 2), await call.alice.got(200, 2), image)
    await call.talk(image, seconds=0.6)
    await hang_up(call)
    await record.check(call, ["closed", "closed"])


def _ice_attributes(call, side, stream):
    port = getattr(stream, side).port
    address = call.media_address[side]
    return (*CANDIDATES, candidate(address, port), candidate(address, port + 1, 2))


async def _ice(call, audio):
    """An ICE call: both SDPs gain a candidate of the relay, checks and media go through it."""
    for message, side in zip(await place(call, [audio]), ("bob", "alice")):
        address, port = next(iter(audio.relay[side]))
        if not any(
            f" {address} {port} " in line
            for line in message.sdp[0].attributes
            if line.startswith("candidate:")
        ):
            raise Failed(f"{side} got no candidate of the relay: {message.body}")
    for phone, peer in ((audio.alice, audio.bob), (audio.bob, audio.alice)):
        phone.media.stun()
        await call.heard_stun(peer, phone)


async def ice(call):
    audio = call.stream()
    call.alice.invite(call.offer("alice", audio, attributes=_ice_attributes(call, "alice", audio)))
    call.alice.expect(200).ack().gate().bye()
    call.bob.on("INVITE").reply(
        200, call.offer("bob", audio, attributes=_ice_attributes(call, "bob", audio))
    )
    call.bob.on("ACK").reply_bye()
    await _ice(call, audio)
    await call.talk(audio)
    await hang_up(call)
    await record.check(call, ["closed"])


async def ice_concluded_with_remote_candidates(call):
    """The re-INVITE that ends ICE goes by untouched: media is direct from then on, by design."""
    audio = call.stream()
    alice = _ice_attributes(call, "alice", audio)
    bob = _ice_attributes(call, "bob", audio)
    chosen = (*alice, f"remote-candidates:1 {call.media_address['bob']} {audio.bob.port}")
    call.alice.invite(call.offer("alice", audio, attributes=alice)).expect(200).ack().gate()
    call.alice.invite(call.offer("alice", audio, attributes=chosen)).expect(200).ack().gate().bye()
    call.bob.on("INVITE").reply(200, call.offer("bob", audio, attributes=bob)).on("ACK")
    call.bob.on("INVITE").reply(200, call.offer("bob", audio, attributes=bob)).on("ACK").reply_bye()
    await _ice(call, audio)
    await call.talk(audio, seconds=0.5)
    await call.hush()
    call.alice.open_gate()
    concluded = (await call.bob.got("INVITE", 2)).sdp[0]
    if (concluded.address, concluded.port) != (call.media_address["alice"], audio.alice.port):
        raise Failed(f"the concluding offer was changed to {concluded.address}:{concluded.port}")
    await call.alice.got(200, 2)
    await hang_up(call)
    await record.check(call, ["closed"])


CASES = [
    basic_call,
    callee_bye,
    early_media,
    early_media_then_200_without_sdp,
    hold_and_resume,
    hold_with_null_address,
    add_video,
    add_video_refused_by_port_0,
    add_video_refused_by_488,
    callee_reinvite,
    callee_reinvite_from_other_phones,
    cancel,
    cancel_after_early_media,
    busy,
    offerless_invite,
    t38_reinvite,
    ice,
    ice_concluded_with_remote_candidates,
]
# The same calls over IPv6, INVITE to last packet; and IPv6 media where the signalling is IPv4.
VARIANTS = [(case.__name__, case, {}) for case in CASES]
VARIANTS += [
    (case.__name__ + "_ipv6", case, {"family": 6})
    for case in (
        basic_call,
        callee_bye,
        early_media,
        hold_and_resume,
        hold_with_null_address,
        add_video,
        ice,
    )
]
VARIANTS += [("basic_call_ipv6_media_only", basic_call, {"media_family": 6})]


def _options(name):
    return next((case, options) for known, case, options in VARIANTS if known == name)


def suite(module, forwarding, tables=None, routed=True):
    """The tests of a module of that name: all calls in both modes, in a house that forwards so.

    `tables` are its [forwarding.NAME] settings; `routed`: the kernel's routing sees the packets.
    """

    class Calls(unittest.TestCase):
        """The cases of one mode. The calls go on side by side; each test waits for its own."""

        mode = None
        house = None

        async def call(self):
            name = self._testMethodName.removeprefix("test_")
            case, options = _options(name)
            call = Call(self.house, name, self.mode, **options)
            try:
                await case(call)
            finally:
                call.close()

        def wait_for_call(self):
            self.house.result(self.id())

    class Engage(Calls):
        """engage_media_proxy(): the module follows the dialog."""

        mode = "engage"

    class Use(Calls):
        """use_media_proxy() and end_media_session() from the script."""

        mode = "use"

    for name, _, _ in VARIANTS:
        setattr(Engage, "test_" + name, Calls.wait_for_call)
        setattr(Use, "test_" + name, Calls.wait_for_call)

    class ZAfterwards(unittest.TestCase):
        """What all those calls leave behind; runs when they are over."""

        def test_no_session_is_left(self):
            self.assertEqual(Calls.house.daemon.sessions(), [])

        def test_no_port_and_no_descriptor_is_left(self):
            daemon = Calls.house.daemon
            unhurt.whole_range(daemon)
            Calls.house.stop_proxies()
            until(
                lambda: daemon.descriptors() <= Calls.house.descriptors,
                15,
                lambda: f"{daemon.descriptors()} descriptors, {Calls.house.descriptors} before",
            )

        def test_only_answered_calls_have_rows(self):
            unanswered = ("cancel-", "busy-")
            self.assertEqual(
                [row[0] for row in Calls.house.daemon.rows() if row[0].startswith(unanswered)], []
            )

        def test_kamailio_had_nothing_to_complain_about(self):
            self.assertEqual(Calls.house.complaints(), [])

        def test_the_back_end_carried_them(self):
            """It is there; and what the kernel's routing forwards is counted there."""
            daemon = Calls.house.daemon
            self.assertIn(forwarding, daemon.relays()[0]["flow_count"])
            count = netns.count("proxy", "Ip.ForwDatagrams", "Ip6.OutForwDatagrams")
            if routed:
                calls = sum(isinstance(test, Calls) for test in runs.chosen())
                self.assertGreater(count, 20 * calls)
            else:
                self.assertEqual(count, 0)

    def set_up():
        Calls.house = House(runs.folder("kamailio-" + forwarding), forwarding, tables).build()
        for test in runs.chosen():
            if isinstance(test, Calls):
                Calls.house.begin(test.id(), test.call)

    def tear_down():
        Calls.house.close()

    for case in (Engage, Use, ZAfterwards):
        case.__module__, case.__qualname__ = module, case.__name__
    return {
        "Engage": Engage,
        "Use": Use,
        "ZAfterwards": ZAfterwards,
        "setUpModule": set_up,
        "tearDownModule": tear_down,
    }


globals().update(suite(__name__, "userspace", routed=False))
