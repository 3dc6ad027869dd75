"""Makes an account a super admin on a running system.

    python -m layers.operate super-admin ADDRESS [STAGE]

With an environment's name, it invokes that environment's migrate function, which logs in as the owner of the tables.
Without one, it asks the system that `make run` has started here.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from layers.deploy import DeployRefused, read_environment
from shared.db.session import connect
from shared.identity.errors import unknown_address
from shared.identity.queries import make_super_admin

_WAITING = Config(connect_timeout=5, read_timeout=120, retries={"total_max_attempts": 1})


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands above; return the exit status."""
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
    try:
        answer = boto3.client("lambda", region_name=stage.region, config=_WAITING).invoke(
            FunctionName=f"{stage.stack}-migrate", Payload=json.dumps({"superAdmin": email})
        )
    except (BotoCoreError, ClientError) as error:
        raise DeployRefused(f"{stage.stack}-migrate could not be invoked. {error}") from error
    result: Mapping[str, Any] = json.loads(answer["Payload"].read() or "{}")
    if "FunctionError" in answer:
        return f"{stage.stack}-migrate failed: {result.get('errorMessage', 'see its log')}"
    if "superAdmin" in result:
        return None
    return str(
        result.get("refused") or f"{stage.stack} runs code that cannot do this yet. Deploy first."
    )


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
