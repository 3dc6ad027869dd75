"""A TCP proxy that counts how often the two ends of a connection wait for each other, and can lose an answer."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# ReadyForQuery, but for its last byte: the server has finished with what it was sent.
_READY = b"Z\x00\x00\x00\x05"


class CountingProxy:
    """A proxy on loopback for one server. A round trip is a stretch of bytes from the client and the server's answer."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0
        self._before_losing: Callable[[], object] | None = None
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection as a lost network does."""
        for end in self._pairs:
            with suppress_closed():
                end.shutdown(socket.SHUT_RDWR)

    def lose_next_answer(self, then: Callable[[], object] = lambda: None) -> None:
        """Break the connection when the server has done what it is asked next, and before it can say so.

        `then` runs in between, in a thread of the proxy.
        """
        self._before_losing = then

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
        last, logged_in = server, False
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
                        if sender is server:
                            is_whole = data[-6:-1] == _READY
                            if logged_in and self._before_losing:
                                if is_whole:
                                    then, self._before_losing = self._before_losing, None
                                    then()
                                    return
                                continue
                            logged_in = logged_in or is_whole
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
