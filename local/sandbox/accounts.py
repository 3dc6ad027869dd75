"""The network's accounts, the programs that act for them, and their tokens."""

import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from local.sandbox.database import Database

CODE_LIFETIME = timedelta(minutes=10)
NAME = re.compile(r"[a-z0-9_]{1,30}")


class NameRefused(ValueError):
    """The name has characters that are not allowed."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that posts. `name` is the part after the @."""

    id: int
    name: str
    display_name: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Client:
    """A program that registered itself. Its tokens can have at most these `scopes`."""

    id: int
    client_id: str
    client_secret: str
    name: str
    website: str | None
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """The grant behind an authorization code."""

    client: int
    account: int
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str | None


@dataclass(frozen=True, slots=True)
class Token:
    """The permissions of a bearer token. `account` is None for a client that acts for itself."""

    client: int
    account: Account | None
    scopes: tuple[str, ...]
    revoked: bool

    def allows(self, wanted: Sequence[str]) -> bool:
        """True if one of `wanted` is granted; `write` includes `write:statuses`."""
        held = set(self.scopes)
        return any(scope in held or scope.partition(":")[0] in held for scope in wanted)


def ensure_account(database: Database, name: str) -> Account:
    """Return the account called `name`; create it if it does not exist.

    Raises:
        NameRefused: the name has other characters than a-z, 0-9 and _, or more than 30.
    """
    name = name.strip().removeprefix("@").lower()
    if not NAME.fullmatch(name):
        raise NameRefused("A name has 1 to 30 letters a-z, digits or underscores.")
    database.insert(
        "INSERT INTO accounts (id, name, display_name, created_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (name) DO NOTHING",
        *(database.new_id(), name, name.replace("_", " ").title(), database.now_ms()),
    )
    account = find_account_by_name(database, name)
    assert account is not None
    return account


def find_account(database: Database, account_id: int | str) -> Account | None:
    row = database.row("SELECT * FROM accounts WHERE id = ?", account_id)
    return _account(row) if row else None


def find_account_by_name(database: Database, name: str) -> Account | None:
    row = database.row("SELECT * FROM accounts WHERE name = ?", name.lower())
    return _account(row) if row else None


def list_accounts(database: Database) -> list[Account]:
    """List all accounts in the order of creation."""
    return [_account(row) for row in database.rows("SELECT * FROM accounts ORDER BY id")]


def search_accounts(database: Database, query: str, *, limit: int) -> list[Account]:
    """List accounts whose name or display name contains `query`, by name."""
    rows = database.rows(
        "SELECT * FROM accounts WHERE instr(name, ?) OR instr(lower(display_name), ?)"
        " ORDER BY name LIMIT ?",
        *(query.lower(), query.lower(), limit),
    )
    return [_account(row) for row in rows]


def _account(row: sqlite3.Row) -> Account:
    return Account(**dict(row))


def register_client(
    database: Database,
    *,
    name: str,
    website: str | None,
    redirect_uris: Sequence[str],
    scopes: Sequence[str],
) -> Client:
    """Create a client with a new id and secret."""
    client = Client(
        id=database.new_id(),
        client_id=secrets.token_urlsafe(32),
        client_secret=secrets.token_urlsafe(32),
        name=name,
        website=website,
        redirect_uris=tuple(redirect_uris),
        scopes=tuple(scopes),
    )
    database.insert(
        "INSERT INTO clients (id, client_id, client_secret, name, website, redirect_uris, scopes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(client.id, client.client_id, client.client_secret, name, website),
        *(json.dumps(client.redirect_uris), " ".join(client.scopes)),
    )
    return client


def find_client(database: Database, client_id: str) -> Client | None:
    row = database.row("SELECT * FROM clients WHERE client_id = ?", client_id)
    return _client(row) if row else None


def get_client_of_token(database: Database, token: Token) -> Client:
    row = database.row("SELECT * FROM clients WHERE id = ?", token.client)
    assert row is not None
    return _client(row)


def find_client_by_name(
    database: Database, name: str, *, redirect_uris: Sequence[str], scopes: Sequence[str]
) -> Client | None:
    """Return the first client that registered as `name` with exactly these addresses and scopes."""
    row = database.row(
        "SELECT * FROM clients WHERE name = ? AND redirect_uris = ? AND scopes = ?"
        " ORDER BY id LIMIT 1",
        *(name, json.dumps(list(redirect_uris)), " ".join(scopes)),
    )
    return _client(row) if row else None


def client_names(database: Database, ids: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """Map client ids to name and website."""
    marks = ", ".join("?" for _ in ids)
    rows = database.rows(
        f"SELECT id, name, website FROM clients WHERE id IN ({marks})",  # noqa: S608  # marks only
        *ids,
    )
    return {row["id"]: (row["name"], row["website"]) for row in rows}


def _client(row: sqlite3.Row) -> Client:
    return Client(
        id=row["id"],
        client_id=row["client_id"],
        client_secret=row["client_secret"],
        name=row["name"],
        website=row["website"],
        redirect_uris=tuple(json.loads(row["redirect_uris"])),
        scopes=tuple(row["scopes"].split()),
    )


def issue_code(database: Database, grant: Grant) -> str:
    """Create an authorization code that is valid for one exchange within ten minutes."""
    code = secrets.token_urlsafe(32)
    now = database.now_ms()
    with database.transaction():
        database.rows("DELETE FROM codes WHERE expires_ms <= ?", now)
        database.insert(
            "INSERT INTO codes (code_hash, client, account, redirect_uri, scopes, challenge, expires_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(_digest(code), grant.client, grant.account, grant.redirect_uri),
            *(" ".join(grant.scopes), grant.challenge),
            now + int(CODE_LIFETIME.total_seconds() * 1000),
        )
    return code


def find_grant(database: Database, code: str) -> Grant | None:
    """Return the grant of `code`; None if it is used, expired or unknown."""
    row = database.row(
        "SELECT client, account, redirect_uri, scopes, challenge FROM codes"
        " WHERE code_hash = ? AND expires_ms > ?",
        *(_digest(code), database.now_ms()),
    )
    return Grant(**{**dict(row), "scopes": tuple(row["scopes"].split())}) if row else None


def use_code(database: Database, code: str) -> bool:
    """Mark `code` as used. Return False if another request already used it."""
    return bool(
        database.rows("DELETE FROM codes WHERE code_hash = ? RETURNING client", _digest(code))
    )


def issue_token(
    database: Database, *, client: int, account: int | None, scopes: Sequence[str]
) -> str:
    """Create a bearer token. Only its hash is stored."""
    token = secrets.token_urlsafe(32)
    database.insert(
        "INSERT INTO tokens (token_hash, client, account, scopes, created_ms) VALUES (?, ?, ?, ?, ?)",
        *(_digest(token), client, account, " ".join(scopes), database.now_ms()),
    )
    return token


def find_token(database: Database, token: str) -> Token | None:
    row = database.row(
        "SELECT t.client, t.scopes, t.revoked, a.* FROM tokens t"
        " LEFT JOIN accounts a ON a.id = t.account WHERE t.token_hash = ?",
        _digest(token),
    )
    if row is None:
        return None
    account = (
        None
        if row["id"] is None
        else Account(row["id"], row["name"], row["display_name"], row["created_ms"])
    )
    return Token(row["client"], account, tuple(row["scopes"].split()), bool(row["revoked"]))


def revoke_token(database: Database, token: str) -> None:
    database.rows("UPDATE tokens SET revoked = 1 WHERE token_hash = ?", _digest(token))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
