"""A ZMTP peer in plain bytes, for versions and habits that libraries do not show."""

import select
import socket

from .waiting import DEADLINE_SECS


class RawPeer:
    """A connection after its handshake."""

    def __init__(self, port, kind, minor, receive_bytes=None):
        self.minor = minor
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE_SECS)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""
        name = kind.encode()
        greeting = b"\xff" + bytes(8) + b"\x7f\x03" + bytes([minor]) + b"NULL" + bytes(48)
        self.socket.sendall(greeting)
        self.command(b"READY", b"\x0bSocket-Type" + len(name).to_bytes(4, "big") + name)
        self._take(64)
        assert self.receive()[0] == b"READY"

    def command(self, name, rest):
        body = bytes([len(name)]) + name + rest
        self.socket.sendall(b"\x04" + bytes([len(body)]) + body)

    def subscribe(self, prefix):
        """Subscribes in the form of the version."""
        if self.minor == 0:
            self.send([b"\x01" + prefix])
        else:
            self.command(b"SUBSCRIBE", prefix)

    def send(self, parts):
        frames = b""
        for number, part in enumerate(parts, 1):
            more = int(number < len(parts))
            long = len(part) > 255
            length = len(part).to_bytes(8 if long else 1, "big")
            frames += bytes([more | 2 * long]) + length + part
        self.socket.sendall(frames)

    def receive(self):
        """Returns the parts of the next message, or the name and the rest of the next command."""
        parts = []
        while True:
            flags = self._take(1)[0]
            length = int.from_bytes(self._take(8 if flags & 2 else 1), "big")
            body = self._take(length)
            if flags & 4:
                return body[1:1 + body[0]], body[1 + body[0]:]
            parts.append(body)
            if not flags & 1:
                return parts

    def readable(self, secs):
        return bool(self.buffer or select.select([self.socket], [], [], secs)[0])

    def close(self):
        self.socket.close()

    def _take(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the other end closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken
