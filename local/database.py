"""The runtime's own connection to the database, embedded or not, and the check whether it can connect."""

import pg8000.dbapi
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from local.home import CannotStart

_SCHEMES = ("postgresql", "postgres")
_SECONDS = 10


def check_database(address: str) -> None:
    """Connect once to the database that `DATABASE_URL` names.

    Raises:
        CannotStart: the address is not a PostgreSQL address, or the server refuses the connection.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # a port that is not a number raises ValueError
        url = None
    if url is None or url.drivername not in _SCHEMES or not (url.username and url.database):
        raise CannotStart(
            "DATABASE_URL is not the address of a PostgreSQL database. "
            "Write postgresql://user:password@host:5432/name, or leave it out for the embedded one."
        )
    try:
        connect(address).close()
    except pg8000.dbapi.Error as error:
        where = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"
        raise CannotStart(
            f"The database that DATABASE_URL names ({where}) cannot be used: {why(error)}. "
            "Check the address, the user and the password, or leave it out for the embedded one."
        ) from error


def connect(address: str) -> pg8000.dbapi.Connection:
    """Open a connection.

    Raises:
        pg8000.dbapi.Error: the server does not answer, or refuses.
    """
    url = make_url(address)
    return pg8000.dbapi.connect(
        user=url.username,
        password=url.password,
        host=url.host or "localhost",
        port=url.port or 5432,
        database=url.database,
        timeout=_SECONDS,
    )


def why(error: pg8000.dbapi.Error) -> str:
    """Return the server's message, or why it could not be reached."""
    message = error.args[0] if error.args else ""
    if isinstance(message, dict):
        return str(message.get("M", "it refuses")).rstrip(".")
    reason = error.__cause__ or message
    return str(reason).rstrip(".")
