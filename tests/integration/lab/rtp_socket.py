# SPDX-License-Identifier: GPL-2.0-or-later
"""The least phone: a socket on loopback that says so many RTP packets and waits for as many."""
import socket

IPV4_HEADERS = 28  # IP and UDP
PAYLOAD = 100  # bytes of each packet, the RTP header among them
PATIENCE = 10  # seconds


class RtpSocket:
    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(PATIENCE)
        self.port = self.sock.getsockname()[1]

    def close(self):
        self.sock.close()

    def media(self):
        """Its part of the header `media`."""
        return f"audio:127.0.0.1:{self.port}:sendrecv:ice=no"

    def say(self, port, packets, payload_type):
        for number in range(packets):
            packet = bytes([0x80, payload_type, 0, number]) + bytes(PAYLOAD - 4)
            self.sock.sendto(packet, ("127.0.0.1", port))

    def hear(self, packets):
        for _ in range(packets):
            self.sock.recv(2048)
