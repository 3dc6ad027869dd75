import asyncio
import socket
import sys
from pathlib import Path

import pytest
import uvicorn

from local.sandbox.__main__ import HOST, main


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    given = ["sandbox", "--home", str(tmp_path), "--port", "0"]
    monkeypatch.setattr(sys, "argv", given)
    return given


class TestListener:
    @pytest.mark.usefixtures("arguments")
    def test_answers_on_a_kept_connection_do_not_wait_for_nagle(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What asyncio accepts from it has Nagle's algorithm switched off."""
        found: list[int] = []

        async def serve(listener: socket.socket) -> None:
            answered = asyncio.Event()

            async def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connection = writer.get_extra_info("socket")
                found.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()
                answered.set()

            async with await asyncio.start_server(accepted, sock=listener), asyncio.timeout(5):
                _, writer = await asyncio.open_connection(HOST, listener.getsockname()[1])
                await answered.wait()
                writer.close()
                await writer.wait_closed()

        def run(_server: uvicorn.Server, sockets: list[socket.socket]) -> None:
            asyncio.run(serve(sockets[0]))

        monkeypatch.setattr(uvicorn.Server, "run", run)
        main()
        assert found == [1]

    def test_a_port_that_is_taken_is_named(self, arguments: list[str]) -> None:
        with socket.socket() as other:
            other.bind((HOST, 0))
            other.listen()
            arguments[-1] = str(other.getsockname()[1])
            with pytest.raises(SystemExit, match=f"{arguments[-1]}.*--port"):
                main()
