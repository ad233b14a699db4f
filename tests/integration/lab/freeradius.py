# SPDX-License-Identifier: GPL-2.0-or-later
"""A FreeRADIUS of the tests' own, on a free port; what it acknowledged can be read back."""
import pathlib
import random
import re
import signal
import socket

from .server import Server

PROGRAM = "/usr/sbin/freeradius"
OUR_DICTIONARY = pathlib.Path(__file__).resolve().parents[3] / "etc" / "radius" / "dictionary"
PACKAGED_DICTIONARIES = "/usr/share/freeradius"
SECRET = "test'ing#123"

_CONFIG = """
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
pidfile = {folder}/pid
max_request_time = 30
cleanup_delay = 5
max_requests = 4096
hostname_lookups = no
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 4
    max_requests_per_server = 0
}}
client four {{
    ipaddr = 127.0.0.1
    secret = "{secret}"
}}
client six {{
    ipv6addr = ::1
    secret = "{secret}"
}}
modules {{
    detail {{
        filename = {folder}/detail
        header = "%t"
        permissions = 0600
        locking = no
    }}
}}
server accounting {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {port}
    }}
    listen {{
        type = acct
        ipv6addr = ::1
        port = {port}
    }}
    accounting {{
        detail
    }}
}}
"""

# What MediaProxy's operators add to their server's dictionary, as ours says.
DICTIONARY = """
ATTRIBUTE Sip-To-Tag 104 string
ATTRIBUTE Sip-From-Tag 105 string
ATTRIBUTE Media-Codecs 233 string
ATTRIBUTE Media-Info 234 string
ATTRIBUTE Sip-User-Agents 235 string
ATTRIBUTE Sip-Applications 236 string
"""

_ESCAPE = re.compile(rb'\\([0-7]{3}|.)')


def free_udp_port():
    """A UDP port that is free on 127.0.0.1 now, and while the server is away: neither of the system's
    choice for others nor in a range of the relays."""
    for port in random.sample(range(10000, 30000), 100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("a hundred UDP ports are all taken")


def _unescaped(match):
    word = match[1]
    if len(word) == 3:
        return bytes([int(word, 8)])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(word, word)


def _value(text):
    """A value as FreeRADIUS prints it: text in quotes with escapes, else as it is."""
    if text.startswith(b'"'):
        text = _ESCAPE.sub(_unescaped, text[1:-1])
    return text.decode()


class FreeRadius(Server):
    user_name = "freerad"

    def __init__(self, secret=SECRET, dictionary=DICTIONARY):
        """`dictionary` is added to that of the package."""
        super().__init__()
        self.port, self.secret = free_udp_port(), secret
        self._starts = 0
        names = {"folder": self.folder, "port": self.port, "secret": secret.replace('"', '\\"')}
        self.write("radiusd.conf", _CONFIG.format(**names))
        self.write("dictionary", dictionary)

    def start(self):
        self._starts += 1
        self.launch([PROGRAM, "-f", "-l", "stdout", "-d", self.folder, "-D", PACKAGED_DICTIONARIES])
        return self

    def is_ready(self):
        log = self.log.read_text(errors="replace")
        return log.count("Ready to process requests") >= self._starts

    def stop(self):
        self.end(signal.SIGTERM)

    def records(self):
        """Every request that it acknowledged, as a dict of its attributes, in order."""
        path = pathlib.Path(self.folder, "detail")
        if not path.exists():
            return []
        records = []
        for line in path.read_bytes().splitlines():
            if line.startswith(b"\t"):
                name, _, value = line[1:].partition(b" = ")
                assert name.decode() not in records[-1], f"{name} twice in {path}"
                records[-1][name.decode()] = _value(value)
            elif line:
                records.append({})
        for record in records:
            record.pop("Timestamp", None)  # the server's own
        return records
