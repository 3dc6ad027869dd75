"""Does the demo judge lateness by the machine that it runs on? Finding 6.7."""

import http.server
import threading
import time

import pytest

from local.demo import MAX_LATE_SECONDS, allowed_seconds
from local.pace import Pace


class TestAllowedSeconds:
    @pytest.mark.parametrize(
        ("slowest", "load", "allowed"),
        [
            (0.01, 0.5, MAX_LATE_SECONDS),
            (0.2, 1.0, 2.0),
            (0.5, 1.0, 5.0),
            (0.1, 2.5, 5.0),  # finding 6.7: four seconds late with five programs on two processors
        ],
    )
    def test_two_seconds_or_what_a_busy_machine_needs(
        self, slowest: float, load: float, allowed: float
    ) -> None:
        assert allowed_seconds(slowest, load) == allowed


class TestPace:
    def test_it_keeps_the_longest_wait(self) -> None:
        waits = iter([0.0, 0.2])
        served = threading.Event()

        class Slow(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wait = next(waits, None)
                if wait is None:
                    served.set()
                else:
                    time.sleep(wait)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with Pace(f"http://127.0.0.1:{server.server_port}/health") as pace:
                assert served.wait(10)
            server.shutdown()

        assert 0.2 <= pace.slowest_seconds < 5
