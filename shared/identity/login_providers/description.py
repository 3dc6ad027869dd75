"""Reads how an OpenID provider describes itself: its addresses, and what its answers contain.

Source: OpenID Connect Discovery 1.0, sections 3 and 4, read 2026-11.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.core import clock
from shared.identity.login_providers.peer import Fault, Peer

PATH = "/.well-known/openid-configuration"
KEPT = timedelta(hours=1)
MOST_KEPT = 100
"""How many descriptions are kept; the ones used longest ago are dropped first."""
_NEEDED = (
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "token_endpoint_auth_methods_supported",
    "authorization_response_iss_parameter_supported",
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """Addresses that are used instead of those in the description; empty ones are not."""

    authorization_url: str = ""
    token_url: str = ""
    userinfo_url: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """The addresses to use, and two facts. `userinfo_url` is empty if there is none."""

    authorization_url: str
    token_url: str
    keys_url: str
    userinfo_url: str
    takes_secret_in_form: bool
    names_issuer: bool


_kept: OrderedDict[str, tuple[datetime, Mapping[str, Any]]] = OrderedDict()


def describe(peer: Peer, issuer: str, overrides: Overrides) -> Description:
    """Return an issuer's description, which is kept for an hour.

    Raises:
        LoginProviderUnavailable: the provider does not answer.
        LoginProviderMisconfigured: there is no description, it is another issuer's, or an address in it cannot be used.
    """
    described = _read(peer, issuer)

    def address(own: str, name: str) -> str:
        return peer.check_address(own or described[name], name)

    has_userinfo = overrides.userinfo_url or described["userinfo_endpoint"]
    # Without a list, it takes them in a header: OpenID Connect Discovery, section 3.
    methods = described["token_endpoint_auth_methods_supported"]
    return Description(
        authorization_url=address(overrides.authorization_url, "authorization_endpoint"),
        token_url=address(overrides.token_url, "token_endpoint"),
        keys_url=address("", "jwks_uri"),
        userinfo_url=address(overrides.userinfo_url, "userinfo_endpoint") if has_userinfo else "",
        takes_secret_in_form=isinstance(methods, list) and "client_secret_post" in methods,
        names_issuer=described["authorization_response_iss_parameter_supported"] is True,
    )


def forget_descriptions() -> None:
    """Clear the memory, so that all descriptions are read again."""
    _kept.clear()


def _read(peer: Peer, issuer: str) -> Mapping[str, Any]:
    known = _kept.get(issuer)
    if known and timedelta(0) <= clock.now() - known[0] < KEPT:
        _kept.move_to_end(issuer)
        return known[1]
    response = peer.get(peer.check_address(f"{issuer.removesuffix('/')}{PATH}", "issuer"))
    if not response.is_success:
        raise peer.misconfigured(Fault.NO_DESCRIPTION, issuer=issuer, status=response.status_code)
    described = peer.read(response)
    if described.get("issuer") != issuer:
        named = str(described.get("issuer"))[:200]
        raise peer.misconfigured(Fault.OTHER_ISSUER, issuer=issuer, named=named)
    needed = {name: described.get(name) for name in _NEEDED}
    _kept[issuer] = (clock.now(), needed)
    _kept.move_to_end(issuer)
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return needed
