"""Reads the keys of real platforms and logins on a laptop: `providers.json` in the runtime's home, read at each start."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.home import CannotStart
from shared.identity.login_providers.offered import KEY_NAMES
from shared.providers import registry
from shared.providers.spec import Fields

KEYS_FILE = "providers.json"


def read_keys(path: Path) -> Mapping[str, str] | None:
    """Return the keys in the file by name; None if there is no file.

    Raises:
        CannotStart: the file is not a JSON object of strings, or has a name that nothing uses.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CannotStart(
            f'{path} cannot be read: {error}. Write {{"X_API_KEY": "..."}}.'
        ) from error
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise CannotStart(f'{path} must be a JSON object of strings: {{"X_API_KEY": "..."}}.')
    known = key_names()
    if unknown := sorted(set(read) - set(known)):
        raise CannotStart(f"{path}: nothing uses {', '.join(unknown)}. Use {', '.join(known)}.")
    return read


def key_names() -> Sequence[str]:
    """List the names of all keys that platforms and logins need."""
    auths = (spec.auth for spec in registry.specs())
    names = {
        name
        for auth in auths
        if not isinstance(auth, Fields)
        for name in (auth.client_id_setting, auth.client_secret_setting)
        if name
    }
    return sorted(names | set(KEY_NAMES))
