"""Whether the embedded PostgreSQL starts anywhere, keeps what was committed, and never outlives its starter."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000
import pytest
from sqlalchemy.engine import make_url

from local.postgres import EmbeddedPostgres, PostgresFailed
from local.postgres_programs import Programs, find_programs

_STARTER = """
import sys, time
from pathlib import Path
from local.postgres import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1]), Path(sys.argv[2])).start(), flush=True)
time.sleep(120)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Make a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="roost-home-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def private_home(home: Path) -> Path:
    """Make the folder one that only its owner can enter, as /root is."""
    home.chmod(0o700)
    return home


def ask(url: str, *statements: str) -> Any:
    where = make_url(url)
    with contextlib.closing(
        pg8000.connect(
            where.username,
            host=where.host,
            port=where.port,
            database=where.database,
            password=where.password,
            timeout=10,
        )
    ) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


@contextlib.contextmanager
def running(home: Path) -> Iterator[str]:
    server = EmbeddedPostgres(home / "postgres", home / "postgres.log")
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def started_elsewhere(home: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the server from another process, which the test may kill."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(home / "postgres"), str(home / "postgres.log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    try:
        yield starter, starter.stdout.readline().strip()
    finally:
        starter.kill()
        starter.wait()
        starter.stdout.close()


def server_process(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def lives(process: int) -> bool:
    """Return whether a process runs; one that has ended and waits to be buried does not."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def wait_until_dead(process: int) -> None:
    give_up = time.monotonic() + 10
    while lives(process):
        assert time.monotonic() < give_up
        time.sleep(0.01)


STORE = ("CREATE TABLE IF NOT EXISTS kept (n int)", "INSERT INTO kept VALUES (1)", "SELECT 1")
COUNT = "SELECT count(*) FROM kept"


class TestStart:
    def test_second_start_finds_the_data(self, home: Path) -> None:
        with running(home) as url:
            ask(url, *STORE)
        with running(home) as url:
            assert ask(url, COUNT) == ([1],)

    def test_works_below_a_folder_that_others_cannot_enter(self, private_home: Path) -> None:
        with running(private_home) as url:
            ask(url, *STORE)
        with running(private_home) as url:
            assert ask(url, COUNT) == ([1],)
        assert private_home.stat().st_mode & 0o777 == 0o700

    def test_starts_anew_when_the_linked_files_are_gone(self, private_home: Path) -> None:
        with running(private_home):
            pass
        shutil.rmtree((private_home / "postgres").resolve())
        with running(private_home) as url:
            assert ask(url, "SELECT 1") == ([1],)

    def test_password_is_asked_for_and_private(self, home: Path) -> None:
        with running(home) as url:
            wrong = make_url(url).set(password="wrong").render_as_string(hide_password=False)
            with pytest.raises(pg8000.Error):
                ask(wrong, "SELECT 1")
        assert (home / "postgres" / "password").stat().st_mode & 0o777 == 0o600

    def test_does_not_run_as_root(self, home: Path) -> None:
        with running(home):
            assert Path(f"/proc/{server_process(home)}").stat().st_uid != 0

    def test_programs_that_others_cannot_read_are_copied(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root hands the server to another user")
        programs = find_programs()
        installed = tmp_path / "installed"
        shutil.copytree(programs.folder, installed)
        tmp_path.chmod(0o700)
        state = home / "state"
        monkeypatch.setattr("local.postgres._STATE", state)
        monkeypatch.setattr(
            "local.postgres.find_programs", lambda: Programs(installed, programs.version)
        )
        with running(home) as url:
            assert ask(url, "SELECT 1") == ([1],)
        assert [path.name for path in state.iterdir()] == [f"postgresql-{programs.version}"]

    def test_first_start_that_was_cut_short_is_begun_again(self, home: Path) -> None:
        with running(home):
            pass
        (home / "postgres" / "data").rename(home / "postgres" / "data.unfinished")
        with running(home) as url:
            assert ask(url, "SELECT 1") == ([1],)

    def test_failure_says_why(self, home: Path) -> None:
        with running(home):
            pass
        (home / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
        server = EmbeddedPostgres(home / "postgres", home / "postgres.log")
        with pytest.raises(PostgresFailed, match=r"initialized by PostgreSQL version 9\.6"):
            server.start()


class TestKilled:
    def test_starter_takes_the_server_with_it(self, home: Path) -> None:
        with started_elsewhere(home) as (starter, _):
            server = server_process(home)
            starter.kill()
            wait_until_dead(server)

    def test_what_was_committed_survives_the_server_s_kill(self, home: Path) -> None:
        with started_elsewhere(home) as (starter, url):
            ask(url, *STORE)
            server = server_process(home)
            os.kill(server, signal.SIGKILL)
            starter.kill()
            wait_until_dead(server)
        with running(home) as url:
            assert ask(url, COUNT) == ([1],)

    def test_server_left_behind_is_stopped_and_its_data_found(self, home: Path) -> None:
        with started_elsewhere(home) as (starter, url):
            ask(url, *STORE)
            server = server_process(home)
            for keeper in keepers_of(server):
                os.kill(keeper, signal.SIGKILL)
            starter.kill()
            starter.wait()
            time.sleep(0.1)
            assert lives(server)
            with running(home) as url:
                assert ask(url, COUNT) == ([1],)
                assert not lives(server)

    def test_lock_file_that_names_another_program_harms_nobody(self, home: Path) -> None:
        with running(home):
            pass
        bystander = subprocess.Popen(["/bin/sleep", "60"])
        lock = home / "postgres" / "data" / "postmaster.pid"
        lock.write_text(f"{bystander.pid}\n")
        shutil.chown(lock, *owner_of(lock.parent))
        try:
            with running(home) as url:
                assert ask(url, "SELECT 1") == ([1],)
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()


def keepers_of(server: int) -> list[int]:
    """Return the shells that watch over a server: its parent, and its parent's other child."""
    parent = int(Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[1])
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children if int(child) != server] + [parent]


def owner_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
