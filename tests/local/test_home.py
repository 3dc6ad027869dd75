import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from local.home import CannotStart, Home, listen
from local.supervise import EXIT_CANNOT_START


class TestHome:
    def test_second_runtime_is_refused_until_the_first_ends(self, tmp_path: Path) -> None:
        first = Home(tmp_path / "home")
        with pytest.raises(CannotStart, match=r"in use by a running system \(process \d+\)"):
            Home(tmp_path / "home")
        first.close()

        Home(tmp_path / "home").close()

    def test_local_json_is_whole_and_private(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        home.publish({"url": "http://127.0.0.1:3000"})

        file = tmp_path / "local.json"
        assert json.loads(file.read_text()) == {"url": "http://127.0.0.1:3000"}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        home.withdraw()
        assert not file.exists()
        home.close()


class TestUnusable:
    """Finding 6.3."""

    def test_file_in_its_place_is_refused_with_words(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(CannotStart, match=r"is a file\. Choose a folder .* ROOST_HOME="):
                Home(path)

    def test_folder_that_one_may_not_write_to_is_refused_with_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", denied)
        with pytest.raises(CannotStart, match="you may not write there"):
            Home(tmp_path / "home")

    def test_the_command_ends_without_a_traceback(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        ended = subprocess.run(
            [sys.executable, "-m", "local"],
            env=os.environ | {"ROOST_HOME": str(tmp_path / "file"), "PORT": "0"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == EXIT_CANNOT_START
        assert len(ended.stderr.splitlines()) == 1

    def test_damaged_memory_of_ports_is_as_good_as_none(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        for damaged in ("{half", "[3000]", '{"PORT": "3000"}', ""):
            (tmp_path / "ports.json").write_text(damaged)
            assert home.remembered_ports() == {}
        home.remember_ports({"PORT": 3100})
        assert home.remembered_ports() == {"PORT": 3100}
        home.close()


class TestListen:
    def test_port_of_the_administrator_is_not_called_taken(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(socket.socket, "bind", denied)
        with pytest.raises(CannotStart, match=r"You may not use port 80, .* higher one: PORT="):
            listen(80, what="the API", variable="PORT")

    def test_taken_port_is_named_with_the_way_out(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(
                CannotStart,
                match=f"Port {port}, meant for the API, is taken. Choose another one: PORT=",
            ):
                listen(port, what="the API", variable="PORT")

    def test_zero_takes_a_free_one(self) -> None:
        with listen(0, what="the API", variable="PORT") as listener:
            assert listener.getsockname()[0] == "127.0.0.1"
            assert listener.getsockname()[1] > 0


class TestPorts:
    @pytest.mark.parametrize(
        ("variable", "given", "refused"),
        [
            ("PORT", "abc", "PORT=abc"),
            ("OBJECTS_PORT", "80000", "OBJECTS_PORT=80000"),
            ("PORT", "65535", "SANDBOX_PORT=65536"),  # no room is left for the two after it
        ],
    )
    def test_what_is_no_port_is_refused_with_words(
        self, tmp_path: Path, variable: str, given: str, refused: str
    ) -> None:
        environment = os.environ | {"ROOST_HOME": str(tmp_path), "PORT": "0", variable: given}
        ended = subprocess.run(
            [sys.executable, "-m", "local"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == EXIT_CANNOT_START
        assert ended.stderr.startswith(f"{refused} is not a port. Choose")
