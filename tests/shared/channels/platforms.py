"""What platforms answer while an account is connected."""

from typing import Any

import httpx
import respx

from shared.providers.registry import provider
from shared.providers.spec import OAuth2

HERE = "https://social.example"  # the configured Mastodon instance
LINKEDIN = "https://api.linkedin.com"
LINKEDIN_TOKEN = "https://www.linkedin.com/oauth/v2/accessToken"
PDS = "https://pds.example"  # a Bluesky server
PLC = "https://plc.directory"
ADA_DID = "did:plc:ada234567abcdefghijklmno"
BLUESKY_FIELDS = {"service": PDS, "identifier": "ada.example", "password": "app-password-1"}


def _scopes(slug: str) -> str:
    auth = provider(slug).spec.auth
    assert isinstance(auth, OAuth2)
    return auth.scope_separator.join(auth.scopes)


def mastodon(
    router: respx.MockRouter, *, base: str = HERE, account: str = "17", **token: Any
) -> respx.Route:
    """Answer as an instance does, docs.joinmastodon.org/methods/oauth and /accounts; returns the route of the token."""
    granted = {"access_token": "granted-token", "token_type": "Bearer"}
    body = granted | {"scope": _scopes("mastodon")} | token
    route = router.post(f"{base}/oauth/token").mock(return_value=httpx.Response(200, json=body))
    router.get(f"{base}/api/v1/accounts/verify_credentials").mock(
        return_value=httpx.Response(
            200,
            json={
                "id": account,
                "username": "ada",
                "display_name": "Ada L.",
                "avatar_static": f"{base}/ada.png",
            },
        )
    )
    limits = {"configuration": {"statuses": {"max_characters": 1_000}}}
    router.get(f"{base}/api/v2/instance").mock(return_value=httpx.Response(200, json=limits))
    router.get(f"{base}/.well-known/nodeinfo").mock(return_value=httpx.Response(404))
    return route


def linkedin(router: respx.MockRouter, *, person: str = "me-1", **token: Any) -> None:
    """Answer as LinkedIn does for a person who runs two pages."""
    body = {
        "access_token": "linkedin-token",
        "refresh_token": "linkedin-refresh",
        "expires_in": 5_184_000,
        "scope": _scopes("linkedin-page"),
    }
    router.post(LINKEDIN_TOKEN).mock(return_value=httpx.Response(200, json=body | token))
    me = {"id": person, "localizedFirstName": "Ada", "localizedLastName": "L."}
    router.get(f"{LINKEDIN}/v2/me").mock(return_value=httpx.Response(200, json=me))
    entries = [
        {"role": "ADMINISTRATOR", "organization": f"urn:li:organization:{page}"}
        for page in (11, 22)
    ]
    router.get(url__startswith=f"{LINKEDIN}/rest/organizationAcls").mock(
        return_value=httpx.Response(200, json={"elements": entries})
    )
    names = {"11": {"localizedName": "Engines"}, "22": {"localizedName": "Looms"}}
    router.get(url__startswith=f"{LINKEDIN}/rest/organizationsLookup").mock(
        return_value=httpx.Response(200, json={"results": names})
    )
    for page, name in names.items():
        router.get(url__startswith=f"{LINKEDIN}/v2/organizations/{page}").mock(
            return_value=httpx.Response(200, json=name)
        )


def bluesky(
    router: respx.MockRouter,
    *,
    pds: str = PDS,
    did: str = ADA_DID,
    handle: str = "ada.example",
    access: str = "a-jwt",
) -> respx.Route:
    """Answer as a server of the network that claims an account; returns the route of the login."""
    session = {"accessJwt": access, "refreshJwt": "r-jwt", "did": did, "handle": handle}
    route = router.post(f"{pds}/xrpc/com.atproto.server.createSession")
    route.mock(return_value=httpx.Response(200, json=session))
    profile = {"did": did, "handle": handle, "displayName": "Ada"}
    router.get(url__startswith=f"{pds}/xrpc/app.bsky.actor.getProfile").mock(
        return_value=httpx.Response(200, json=profile)
    )
    did_document(router, did=did, handle=handle)
    return route


def did_document(
    router: respx.MockRouter,
    *,
    did: str = ADA_DID,
    pds: str = PDS,
    handle: str = "ada.example",
    at: str | None = None,
) -> respx.Route:
    """Answer as the directory of a DID does, whatever a server claims."""
    body = {
        "id": did,
        "alsoKnownAs": [f"at://{handle}"],
        "service": [
            {"id": "#other", "type": "Other", "serviceEndpoint": "https://other.example"},
            {
                "id": "#atproto_pds",
                "type": "AtprotoPersonalDataServer",
                "serviceEndpoint": pds,
            },
        ],
    }
    return router.get(at or f"{PLC}/{did}").mock(return_value=httpx.Response(200, json=body))


def bluesky_refuses(route: respx.Route) -> None:
    """Refuse the password, as a server of the network does."""
    body = {"error": "AuthenticationRequired", "message": "Invalid identifier or password"}
    route.mock(return_value=httpx.Response(401, json=body))
