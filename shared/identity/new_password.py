"""Checks a new password: by the rules, and by a server of leaked passwords where one is configured."""

from shared.core.config import settings
from shared.identity.errors import PasswordRefused
from shared.identity.password_rules import Person, Weakness, find_weakness


def check_new_password(password: str, person: Person, *, path: str = "password") -> None:
    """Check a password that this person chooses. `path` is the field of the request. Call it while no transaction is open.

    Raises:
        PasswordRefused: the password is weak; it says why.
    """
    weakness = find_weakness(password, person)
    if weakness is None and settings().password_range_url:
        from shared.identity.leaked_passwords import is_leaked

        weakness = Weakness.LEAKED if is_leaked(password) else None
    if weakness is not None:
        raise PasswordRefused(path, weakness)
