# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP connection that can be cut: stands between a relay and its dispatcher."""
import contextlib
import socket
import threading


class Cable:
    """Passes bytes between who connects to `endpoint` and `target`, as long as it is whole.

    `hold()` is a cable pulled out: nothing gets through, and nobody is told. `cut()` ends what is
    connected, with all that was under way, and lets nobody in; `mend()` makes it whole again.
    """

    def __init__(self, target):
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        # Bound for as long as the cable is there: what is cut shall find its port again.
        self._place = _bound(0)
        self._port = self._place.getsockname()[1]
        self.endpoint = f"127.0.0.1:{self._port}"
        self._lock = threading.Lock()
        self._passes = threading.Event()
        self._links = set()
        self._door = None
        self.mend()

    def mend(self):
        self._passes.set()
        self._door = _bound(self._port)
        self._door.listen()
        threading.Thread(target=self._accept, args=(self._door,), daemon=True).start()

    def hold(self):
        self._passes.clear()

    def cut(self):
        self._passes.clear()
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            _end(link)

    def _accept(self, door):
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, 5)
            except OSError:
                near.close()
                continue
            for link in (near, far):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._links |= {near, far}
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while not self._passes.wait(0.1):
                    if source.fileno() < 0:
                        return
                with self._lock:
                    if source not in self._links:  # cut: what was under way is gone
                        return
                sink.sendall(data)
        with self._lock:
            self._links -= {source, sink}
        _end(source)
        _end(sink)


def _bound(port):
    """Several may have the same port as long as only one of them listens."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _end(link):
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
