"""The differences on a laptop: the template's parameters, and the environment variables that are replaced.

All other settings come from `template.yaml`. A setting in the environment of `make run` overrides everything else:
`ARM_LEAD_SECONDS=5 make run`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from local.home import CannotStart
from shared.core.config import Settings

MAIL_DOMAIN = "roost.localhost"
ACCESS_KEY = "local"
OPENID_CLIENT_ID, OPENID_NAME = "roost-local", "Mock OpenID"
OPENID_SECRET = {"OAUTH_CLIENT_SECRET": "local"}  # it accepts any, but not none

# Derived from the addresses, or deciding what is allowed: `STAGE=prod` in a shell must not reach a laptop's functions.
_NOT_FROM_THE_SHELL = {"AWS_REGION", "PUBLIC_URL", "STAGE"}
# Where files are kept: used in AWS only. Setting one here stops the start instead of being ignored.
_STORAGE_OF_ITS_OWN = ("S3_ENDPOINT_URL", "S3_CREDENTIALS_SECRET", "S3_REGION", "MEDIA_PUBLIC_URL")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The address of every part, without a trailing slash. `names` is the name server's, `host:port`."""

    api: str
    sandbox: str
    objects: str
    aws: str
    openid: str
    names: str = ""

    @property
    def media(self) -> str:
        """The public address of objects."""
        return f"{self.objects}/_public"


def template_parameters(addresses: Addresses) -> Mapping[str, str]:
    """Return the parameters with which the template is deployed here."""
    return {
        "Stage": "local",
        "PublicUrl": addresses.api,
        "CorsOrigins": addresses.api.replace("127.0.0.1", "localhost"),
        "MailDomain": MAIL_DOMAIN,
    }


def function_environment(
    addresses: Addresses, *, database_url: str, secret_key: str
) -> Mapping[str, str]:
    """Return the variables that functions get instead of, or in addition to, the template's."""
    if named := [name for name in _STORAGE_OF_ITS_OWN if os.environ.get(name)]:
        raise CannotStart(
            f"{' and '.join(named)} cannot be used here: make run keeps files in its own storage, below ROOST_HOME. "
            "Unset it and start again."
        )
    # Sign-in at the OpenID provider beside the sandbox, unless the shell names another one.
    offered = {
        "GENERIC_OAUTH": "true",
        "OAUTH_URL": addresses.openid,
        "OAUTH_CLIENT_ID": OPENID_CLIENT_ID,
        "OAUTH_DISPLAY_NAME": OPENID_NAME,
    }
    replaced = {
        # The database is embedded or has an address with a password, instead of IAM.
        "DATABASE_URL": database_url,
        "DATABASE_HOST": "",
        "DATABASE_CA_FILE": "",
        "DATABASE_ADMIN_SECRET_NAME": "",
        # AWS is moto in the supervisor; S3 is our own front.
        "AWS_ENDPOINT_URL": addresses.aws,
        "S3_ENDPOINT_URL": addresses.objects,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        # In AWS this is the host of a CloudFront distribution.
        "MEDIA_PUBLIC_URL": addresses.media,
        # The sandbox takes the place of a Mastodon instance; it may use http on this machine because it is named here.
        "MASTODON_URL": addresses.sandbox,
        "ALLOW_LOOPBACK_ADDRESSES": "true",
        "TEST_NAMES_SERVER": addresses.names,
    }
    return {**offered, **replaced, **_from_the_shell(replaced)}


def own_addresses(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the addresses that replace a platform's own servers for functions with these variables."""
    given: dict[str, str] = json.loads(environment.get("PROVIDER_BASE_URLS") or "{}")
    return {"mastodon": environment.get("MASTODON_URL", ""), **given}


def _from_the_shell(fixed: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings with which this process was started, without the addresses above."""
    names = {name.upper() for name in Settings.model_fields} - set(fixed) - _NOT_FROM_THE_SHELL
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}
