"""Makes an account a super admin on a running system, and rotates an environment's keys.

    python -m layers.operate super-admin ADDRESS [STAGE]
    python -m layers.operate rotate-keys STAGE

With an environment's name, it invokes that environment's migrate function, which logs in as the owner of the tables.
Without one, it asks the system that `make run` has started here.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from layers.deploy import DeployRefused, Environment, read_environment
from shared.core import clock
from shared.core.config import settings
from shared.core.crypto import new_secret
from shared.db.session import connect
from shared.identity.errors import unknown_address
from shared.identity.queries import make_super_admin

_KEY_ID = "%Y%m%dT%H%M%SZ"
_MARGIN = timedelta(hours=1)  # functions read the secret again after five minutes
_WAITING_LONG = Config(connect_timeout=5, read_timeout=910, retries={"total_max_attempts": 1})
_WAITING = Config(connect_timeout=5, read_timeout=120, retries={"total_max_attempts": 1})


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands above; return the exit status."""
    if arguments[:1] == ["rotate-keys"]:
        return _rotate_keys(arguments[1:])
    try:
        command, email, *stage = arguments or ("",)
    except ValueError:
        command, email, stage = "", "", []
    if command != "super-admin" or "@" not in email or len(stage) > 1:
        print(
            "email is required: make super-admin email=you@example.com [stage=dev]", file=sys.stderr
        )
        return 1
    try:
        refused = deployed(email, stage[0]) if stage else local(email)
    except DeployRefused as error:
        refused = str(error)
    print(
        refused or f"{email} is now active and a super admin.",
        file=sys.stderr if refused else sys.stdout,
    )
    return 1 if refused else 0


def deployed(email: str, stage_name: str) -> str | None:
    """Invoke an environment's migrate function. Return why it refused, or None on success.

    Raises:
        DeployRefused: there is no such environment, or the function could not be invoked.
    """
    stage = read_environment(stage_name)
    result = _ask_migrate(stage, {"superAdmin": email}, _WAITING)
    if "superAdmin" in result:
        return None
    return str(result.get("refused") or _too_old(stage))


def _ask_migrate(stage: Environment, event: Mapping[str, Any], waiting: Config) -> dict[str, Any]:
    """Invoke an environment's migrate function and return its answer.

    Raises:
        DeployRefused: it could not be invoked, or failed.
    """
    try:
        answer = boto3.client("lambda", region_name=stage.region, config=waiting).invoke(
            FunctionName=f"{stage.stack}-migrate", Payload=json.dumps(event)
        )
    except (BotoCoreError, ClientError) as error:
        raise DeployRefused(f"{stage.stack}-migrate could not be invoked. {error}") from error
    result: dict[str, Any] = json.loads(answer["Payload"].read() or "{}")
    if "FunctionError" in answer:
        raise DeployRefused(
            f"{stage.stack}-migrate failed: {result.get('errorMessage', 'see its log')}"
        )
    return result


def _too_old(stage: Environment) -> str:
    return f"{stage.stack} runs code that cannot do this yet. Deploy first."


def _rotate_keys(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not arguments[0]:
        print("stage is required: make rotate-keys stage=dev", file=sys.stderr)
        return 1
    try:
        stage = read_environment(arguments[0])
        for line in rotate_token_keys(stage):
            print(line)
        for line in reseal_everything(stage):
            print(line)
    except DeployRefused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def rotate_token_keys(stage: Environment) -> list[str]:
    """Add a key that signs sessions, and remove those that no session needs any more. Say what was done.

    A key's id is the time when it was added. A key is needed for the life of a session after its successor was added.

    Raises:
        DeployRefused: the secret could not be read or written.
    """
    secrets_manager = boto3.client("secretsmanager", region_name=stage.region, config=_WAITING)
    name = f"{stage.stack}/app"
    try:
        stored = json.loads(secrets_manager.get_secret_value(SecretId=name)["SecretString"])
        keys, retired = with_new_key(json.loads(stored["jwtKeys"]), clock.now())
        stored["jwtKeys"] = json.dumps(keys)
        secrets_manager.put_secret_value(SecretId=name, SecretString=json.dumps(stored))
    except (BotoCoreError, ClientError) as error:
        raise DeployRefused(f"The secret {name} could not be changed. {error}") from error
    added = f"New sessions are signed with the key {list(keys)[-1]} within five minutes."
    if not retired:
        return [added, "No key was removed: sessions may still be signed with the older ones."]
    return [added, f"Removed: {', '.join(retired)}. No session is signed with them any more."]


def with_new_key(keys: Mapping[str, str], now: datetime) -> tuple[dict[str, str], list[str]]:
    """Return the keys with a new one at the end and without those that no session needs; and the ids of the removed."""
    new_id = now.strftime(_KEY_ID)
    ids = [*keys, new_id]
    needed_for = timedelta(days=settings().session_days) + _MARGIN
    retired = [
        key_id
        for key_id, successor in pairwise(ids)
        if (added_at := _added_at(successor)) and now - added_at > needed_for
    ]
    kept = {key_id: key for key_id, key in keys.items() if key_id not in retired}
    return {**kept, new_id: new_secret()}, retired


def reseal_everything(stage: Environment) -> Iterator[str]:
    """Have an environment's stored secrets sealed again, and say after each run what was done.

    Raises:
        DeployRefused: the function could not be invoked, or failed.
    """
    position: Mapping[str, str] | None = {}
    while position is not None:
        result = _ask_migrate(stage, {"reseal": position}, _WAITING_LONG)
        if "sealed" not in result:
            raise DeployRefused(_too_old(stage))
        yield (
            f"Sealed again: {result['sealed']}. Replaced meanwhile: {result['replacedMeanwhile']}. "
            f"Unreadable, left as they are: {result['unreadable']}."
        )
        position = result["next"]


def _added_at(key_id: str) -> datetime | None:
    try:
        return datetime.strptime(key_id, _KEY_ID).replace(tzinfo=UTC)
    except ValueError:
        return None


def local(email: str) -> str | None:
    """Ask the system that runs here. Return why it refused, or None on success."""
    home = Path(os.environ.get("ROOST_HOME", ".roost"))
    file = home / "local.json"
    if not file.exists():
        return (
            f"Nothing runs on {home}. Start it with `make run`, or name an environment: stage=dev"
        )
    os.environ["DATABASE_URL"] = json.loads(file.read_text())["databaseUrl"]
    engine = create_engine("postgresql+wire://", creator=connect)
    with Session(engine) as session:
        user_id = make_super_admin(session, email.strip().lower())
        session.commit()
    engine.dispose()
    return None if user_id else unknown_address(email)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
