"""How often do the two ends of a connection wait for each other: a TCP proxy that counts."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CountingProxy:
    """A proxy on loopback for one server. A round trip is a stretch of bytes from the client and the server's answer."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection as a lost network does."""
        for end in self._pairs:
            with suppress_closed():
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more connections, and break those there are."""
        with suppress_closed():
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs += [client, server]
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        last = server
        with selectors.DefaultSelector() as ready, client, server:
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    sender = key.fileobj
                    assert isinstance(sender, socket.socket)
                    try:
                        data = sender.recv(65536)
                        if not data:
                            return
                        if sender is client and last is server:
                            self.round_trips += 1
                        last = sender
                        other[sender].sendall(data)
                    except OSError:
                        return


@contextmanager
def suppress_closed() -> Iterator[None]:
    """Go on when the socket is closed already."""
    try:
        yield
    except OSError:
        return


@contextmanager
def counting_proxy(port: int) -> Iterator[CountingProxy]:
    """Run a proxy in front of `port` for the length of the block."""
    proxy = CountingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
