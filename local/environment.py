"""What is different on a laptop: the template's parameters, and the environment variables that are replaced.

Everything else that functions are told comes from `template.yaml`. A setting that stands in the environment of `make run`
goes before all: `ARM_LEAD_SECONDS=5 make run`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from local.home import CannotStart
from shared.core.config import Settings

MAIL_DOMAIN = "roost.localhost"
ACCESS_KEY = "local"

# They follow from the addresses, or decide what is allowed: `STAGE=prod` in a shell must not reach a laptop's functions.
_NOT_FROM_THE_SHELL = {"AWS_REGION", "PUBLIC_URL", "STAGE"}
# What says where files are kept: used in AWS only, and never ignored in silence.
_STORAGE_OF_ITS_OWN = ("S3_ENDPOINT_URL", "S3_CREDENTIALS_SECRET", "S3_REGION", "MEDIA_PUBLIC_URL")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything listens, without a trailing slash."""

    api: str
    sandbox: str
    objects: str
    aws: str

    @property
    def media(self) -> str:
        """Where objects are served to everybody."""
        return f"{self.objects}/_public"


def template_parameters(addresses: Addresses) -> Mapping[str, str]:
    """Return what the template is deployed with here."""
    return {
        "Stage": "local",
        "PublicUrl": addresses.api,
        "CorsOrigins": addresses.api.replace("127.0.0.1", "localhost"),
        "MailDomain": MAIL_DOMAIN,
    }


def function_environment(
    addresses: Addresses, *, database_url: str, secret_key: str
) -> Mapping[str, str]:
    """Return the variables that functions get instead of the template's, or besides them."""
    if named := [name for name in _STORAGE_OF_ITS_OWN if os.environ.get(name)]:
        raise CannotStart(
            f"{' and '.join(named)} cannot be used here: make run keeps files in its own storage, below ROOST_HOME. "
            "Unset it and start again."
        )
    replaced = {
        # The database: embedded, and by its address with a password instead of IAM.
        "DATABASE_URL": database_url,
        "DATABASE_HOST": "",
        "DATABASE_CA_FILE": "",
        "DATABASE_ADMIN_SECRET_NAME": "",
        # AWS: moto in the supervisor; S3: our own front.
        "AWS_ENDPOINT_URL": addresses.aws,
        "S3_ENDPOINT_URL": addresses.objects,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        # In AWS a CloudFront distribution's host.
        "MEDIA_PUBLIC_URL": addresses.media,
        # The sandbox stands for a Mastodon instance; that it is http on this machine is allowed by name.
        "MASTODON_URL": addresses.sandbox,
        "ALLOW_LOOPBACK_ADDRESSES": "true",
    }
    return {**replaced, **_from_the_shell(replaced)}


def own_addresses(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return where functions with these variables reach a platform's own servers, where that is not the platform's."""
    given: dict[str, str] = json.loads(environment.get("PROVIDER_BASE_URLS") or "{}")
    return {"mastodon": environment.get("MASTODON_URL", ""), **given}


def _from_the_shell(fixed: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings that this process was started with; the addresses above are not among them."""
    names = {name.upper() for name in Settings.model_fields} - set(fixed) - _NOT_FROM_THE_SHELL
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}
