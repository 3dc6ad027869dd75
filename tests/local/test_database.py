"""What does the runtime say about a `DATABASE_URL` that does not serve?"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.database import check_database
from local.home import CannotStart
from local.supervise import EXIT_CANNOT_START

FORM = r"DATABASE_URL is not the address of .* Write postgresql://user:password@host:5432/name"


@pytest.mark.parametrize(
    "address",
    ["roost", "mysql://a:b@127.0.0.1/x", "postgresql://127.0.0.1/x", "postgresql://a:b@h:port/x"],
)
def test_what_names_no_database_is_refused_with_the_form(address: str) -> None:
    with pytest.raises(CannotStart, match=FORM):
        check_database(address)


def test_server_that_does_not_answer_is_named_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(CannotStart, match=f"127.0.0.1:{port}/roost.* cannot be used") as refused:
        check_database(f"postgresql://me:hidden@127.0.0.1:{port}/roost")
    assert "Check the address" in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_wrong_password_is_said_in_the_servers_words(database_url: str) -> None:
    with pytest.raises(CannotStart, match="cannot be used: password authentication failed"):
        check_database(_with_password(database_url, "wrong"))
    check_database(database_url)


def test_the_command_ends_with_that_sentence_alone(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "local"],
        env=os.environ | {"ROOST_HOME": str(tmp_path), "PORT": "0", "DATABASE_URL": "roost"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == EXIT_CANNOT_START
    assert ended.stderr.startswith("DATABASE_URL is not the address of a PostgreSQL database.")
    assert len(ended.stderr.splitlines()) == 1


def _with_password(url: str, password: str) -> str:
    before, _, after = url.partition("@")
    return f"{before.rpartition(':')[0]}:{password}@{after}"
