"""The sweep of accounts: deletes old challenges, sessions and devices."""

from shared.db.statement import sql
from shared.db.sweep import Deletion
from shared.identity.devices import DEVICE_LIFE
from shared.identity.guess_queries import FORGOTTEN_AFTER

_OLD_MAILED_CODES = Deletion(
    "old_mailed_codes",
    table=sql("mailed_codes"),
    lapsed=sql("expires_at <= now() - interval '7 days'"),
)
_OLD_CHALLENGES = Deletion(
    "old_challenges",
    table=sql("challenges"),
    lapsed=sql("expires_at <= now() - interval '7 days'"),
)
_OLD_SESSIONS = Deletion(
    "old_sessions",
    table=sql("sessions"),
    lapsed=sql("expires_at <= now() - interval '30 days'"),
)
_OLD_DEVICES = Deletion(
    "old_devices",
    table=sql("devices"),
    lapsed=sql(
        "last_used_at <= now() - make_interval(days => {life_days})", life_days=DEVICE_LIFE.days
    ),
)
_OLD_GUESSES = Deletion(
    "old_guesses",
    table=sql("password_guesses"),
    lapsed=sql(
        "last_at <= now() - make_interval(secs => {seconds})",
        seconds=round(FORGOTTEN_AFTER.total_seconds()),
    ),
)


def delete_old_mailed_codes() -> int:
    """Delete emailed codes of the previous version a week after they expired."""
    return _OLD_MAILED_CODES.in_pages()


def delete_old_challenges() -> int:
    """Delete challenges a week after they expired."""
    return _OLD_CHALLENGES.in_pages()


def delete_old_sessions() -> int:
    """Delete sessions 30 days after they expired."""
    return _OLD_SESSIONS.in_pages()


def delete_old_devices() -> int:
    """Delete devices whose cookie has expired."""
    return _OLD_DEVICES.in_pages()


def delete_old_guesses() -> int:
    """Delete counts of guesses of passwords that begin again at the next guess."""
    return _OLD_GUESSES.in_pages()
