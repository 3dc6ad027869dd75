import asyncio
import socket

from local.sandbox.__main__ import HOST, listen


class TestListen:
    def test_answers_on_a_kept_connection_do_not_wait_for_nagle(self) -> None:
        """What asyncio accepts from it has Nagle's algorithm switched off."""

        async def scenario() -> int:
            found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            async def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connection = writer.get_extra_info("socket")
                found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            with listen(0) as listener:
                server = await asyncio.start_server(accepted, sock=listener)
                async with server:
                    _, writer = await asyncio.open_connection(HOST, listener.getsockname()[1])
                    nodelay = await asyncio.wait_for(found, 5)
                    writer.close()
                    await writer.wait_closed()
            return nodelay

        assert asyncio.run(scenario())
