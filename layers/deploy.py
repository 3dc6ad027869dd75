"""Deploys an environment: the result of `make build`, with the environment's parameters, through the SAM CLI.

    python -m layers.deploy STAGE [Name=Value ...] [--option of sam ...]

An environment's parameters are in `samconfig.toml`. SAM gets a file that is generated from it, for two reasons: SAM looks
for its configuration beside the template, and it cuts a value such as `rate(1 hour)` in a list at the space. The generated
file also contains the digest of everything that is deployed (the parameter `Release`), from which SAM names the version that
each alias moves to; SAM itself sees no difference when only a parameter's value changes. The built template contains the
digest too, as the parameter's default, for tools that expand it without the parameters.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from layers.build import BUILD, ROOT

SAMCONFIG = ROOT / "samconfig.toml"
SAM_ENVIRONMENT = ROOT / ".venv-sam" / "bin" / "sam"
# Lambda keeps this many concurrent executions of an account's limit for functions without a reservation.
# Source: docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html, read 2026-11.
UNRESERVED = 100
USUAL_LIMIT = 1000
FUNCTIONS_OF_A_POLLER = 10
_ASKING = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})


class DeployRefused(Exception):
    """The environment cannot be deployed like this; the message says what to change."""


@dataclass(frozen=True)
class Environment:
    """One environment of `samconfig.toml`: SAM's options and the template's parameters."""

    name: str
    options: Mapping[str, Any]
    parameters: Mapping[str, str]

    @property
    def stack(self) -> str:
        """The stack's name."""
        return str(self.options["stack_name"])

    @property
    def region(self) -> str:
        """The stack's region."""
        return str(self.options["region"])


def main(arguments: Sequence[str]) -> int:
    """Deploy the environment that the first argument names; return the exit status."""
    overrides = [given for given in arguments[1:] if not given.startswith("-")]
    options = [given for given in arguments[1:] if given.startswith("-")]
    try:
        environment = read_environment(arguments[0] if arguments else "", overrides=overrides)
        template = json.loads(_built_template().read_text())
        check_parameters(environment.parameters, template)
        print(concurrency_note(environment.parameters, template, limit=_account_limit(environment)))
        config = write_config(environment, write_digest(BUILD, environment.parameters))
        deploying = (*command(environment, config), *options)
    except DeployRefused as refused:
        print(refused, file=sys.stderr)
        return 1
    return subprocess.run(deploying, check=False).returncode


def read_environment(
    name: str, *, overrides: Sequence[str] = (), samconfig: Path = SAMCONFIG
) -> Environment:
    """Read an environment's options and parameters; an override (`Name=Value`) replaces the file's value.

    Raises:
        DeployRefused: the file has no such environment, or an override is not `Name=Value`.
    """
    environments = {
        found: each["deploy"]["parameters"]
        for found, each in tomllib.loads(samconfig.read_text(encoding="utf-8")).items()
        if isinstance(each, dict) and "deploy" in each
    }
    if name not in environments:
        raise DeployRefused(
            f"samconfig.toml has no environment {name!r}. Name one of {', '.join(environments)}: make deploy stage={next(iter(environments))}"
        )
    options = dict(environments[name])
    pairs = [*options.pop("parameter_overrides", []), *overrides]
    if wrong := [pair for pair in overrides if "=" not in pair]:
        raise DeployRefused(f"{wrong[0]!r} is not a parameter. Write it as Name=Value.")
    parameters = dict(pair.split("=", 1) for pair in pairs)
    return Environment(name=name, options=options, parameters=parameters)


def check_parameters(parameters: Mapping[str, str], template: Mapping[str, Any]) -> None:
    """Check the parameters against the template before anything is uploaded.

    Raises:
        DeployRefused: a parameter is unknown or missing, or its value is not allowed by the template.
    """
    declared = template["Parameters"]
    for name, value in parameters.items():
        if name not in declared:
            raise DeployRefused(
                f"template.yaml has no parameter {name}. It has {', '.join(declared)}."
            )
        allowed = declared[name].get("AllowedValues")
        if allowed and value not in allowed:
            raise DeployRefused(f"{name} is {value!r}. It must be one of {', '.join(allowed)}.")
        if not re.fullmatch(declared[name].get("AllowedPattern", r"(?s:.*)"), value):
            raise DeployRefused(
                f"{name} is {value!r}. It must match {declared[name]['AllowedPattern']}."
            )
    for name, found in declared.items():
        if "Default" not in found and name not in parameters:
            raise DeployRefused(
                f"{name} is missing. Add it to the environment's parameters in samconfig.toml. {found['Description']}"
            )
    if parameters.get("MailTransport") == "smtp" and not parameters.get("SmtpHost"):
        raise DeployRefused(
            "SmtpHost is missing. MailTransport=smtp needs the name of the SMTP server."
        )


def build_digest(folder: Path, parameters: Mapping[str, str]) -> str:
    """Return the digest of the deployment: every built file, its path, and every parameter.

    An earlier digest in the template and SAM's configuration are left out.
    """
    digest = hashlib.sha256(json.dumps(sorted(parameters.items())).encode())
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        place = str(path.relative_to(folder))
        if place == _CONFIG:
            continue
        content = path.read_bytes() if place != _TEMPLATE else _stamped(path, "").encode()
        digest.update(f"\0{place}\0".encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def write_digest(folder: Path, parameters: Mapping[str, str]) -> str:
    """Write the digest into the built template as the default of its parameter, and return it."""
    made = build_digest(folder, parameters)
    path = folder / _TEMPLATE
    path.write_text(_stamped(path, made))
    return made


def _stamped(path: Path, digest: str) -> str:
    template = json.loads(path.read_text())
    template["Parameters"]["Release"]["Default"] = digest
    return json.dumps(template, indent=1)


_CONFIG = "samconfig.yaml"
_TEMPLATE = "template.yaml"


def write_config(environment: Environment, digest: str) -> Path:
    """Write SAM's configuration of the environment beside the built template; JSON is valid YAML."""
    parameters = {**environment.parameters, "Release": digest}
    deploy = {"parameters": {**environment.options, "parameter_overrides": parameters}}
    path = BUILD / _CONFIG
    path.write_text(json.dumps({"version": 0.1, environment.name: {"deploy": deploy}}, indent=1))
    return path


def command(environment: Environment, config: Path) -> tuple[str, ...]:
    """Return the deployment command, with absolute paths.

    Raises:
        DeployRefused: the SAM CLI is missing.
    """
    sam = shutil.which("sam") or (str(SAM_ENVIRONMENT) if SAM_ENVIRONMENT.exists() else None)
    if sam is None:
        raise DeployRefused("The SAM CLI is missing. `make deploy` installs it into .venv-sam.")
    return (
        *(sam, "deploy", "--template-file", str(_built_template())),
        *("--config-file", str(config), "--config-env", environment.name),
    )


def concurrency_note(
    parameters: Mapping[str, str], template: Mapping[str, Any], *, limit: int | None
) -> str:
    """Return a note on whether the account's limit of concurrent executions is high enough; `limit` is None if it is unknown.

    Raises:
        DeployRefused: the reservations exceed the limit.
    """

    def value(name: str) -> str:
        return str(parameters.get(name, template["Parameters"][name].get("Default", "")))

    reserves = value("ReserveConcurrency") == "on"
    publishing = max(
        int(value("PublishConcurrency")), int(value("PublishPollers")) * FUNCTIONS_OF_A_POLLER
    )
    if reserves and publishing > int(value("PublishConcurrency")):
        raise DeployRefused(
            f"PublishConcurrency is {value('PublishConcurrency')}. With ReserveConcurrency=on and PublishPollers="
            f"{value('PublishPollers')} it must be at least {publishing}, or AWS refuses the pollers."
        )
    needed = UNRESERVED + (reserved(parameters, template) if reserves else publishing)
    if limit is None:
        return f"The account's limit of concurrent executions is unknown; this environment needs {needed}."
    if needed <= limit:
        return f"The account allows {limit} concurrent executions; this environment needs {needed} of them."
    ask = (
        f"Request {max(needed, USUAL_LIMIT)} under Service Quotas > AWS Lambda > Concurrent executions"
        f" (the account has {limit}, this environment needs {needed})"
    )
    if reserves:
        raise DeployRefused(f"{ask}, or set ReserveConcurrency=off until it is granted.")
    return f"{ask}. Until it is granted, publishing and the API may be throttled."


def reserved(parameters: Mapping[str, str], template: Mapping[str, Any]) -> int:
    """Return the total reservation of all functions if `ReserveConcurrency` is on."""
    total = 0
    for resource in template["Resources"].values():
        given = resource.get("Properties", {}).get("ReservedConcurrentExecutions")
        if given is not None:
            count = given["Fn::If"][1]
            if isinstance(count, dict):
                name = count["Ref"]
                count = parameters.get(name, template["Parameters"][name]["Default"])
            total += int(count)
    return total


def _account_limit(environment: Environment) -> int | None:
    """Read the account's limit; None without credentials or permission."""
    try:
        asked = boto3.client("lambda", region_name=environment.region, config=_ASKING)
        return int(asked.get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    except (BotoCoreError, ClientError) as error:
        print(
            f"The account's limits could not be read ({type(error).__name__}).",
            file=sys.stderr,
        )
        return None


def _built_template() -> Path:
    path = BUILD / _TEMPLATE
    if not path.exists():
        raise DeployRefused("Nothing is built yet. Run `make build` first.")
    return path


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
