"""Dynamic registration (RFC 7591): an unknown app registers itself, so that it can ask a member for consent."""

from sqlalchemy.orm import Session

from shared.apps import queries
from shared.apps.credentials import new_client_secret, new_registered_client_id
from shared.apps.errors import OAuthRefused
from shared.apps.schemas import ClientMetadata, RegisteredProgram
from shared.apps.scopes import granted_scopes, scope_text
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.crypto import hash_secret
from shared.core.ids import AppId, new_id


def register(session: Session, visitor: Actor, metadata: ClientMetadata) -> RegisteredProgram:
    """Register an app. `visitor` is the app, which nobody knows yet. Requested values that it cannot have are left out of the answer, as section 3.2.1 allows.

    Raises:
        OAuthRefused: the app does not support the available flow.
    """
    if "authorization_code" not in metadata.grant_types or "code" not in metadata.response_types:
        raise OAuthRefused(
            "invalid_client_metadata",
            "This grant is not supported. Register for authorization_code with the response type "
            "code.",
        )
    refreshes = "refresh_token" in metadata.grant_types
    scopes = granted_scopes(metadata.scope)
    if not scopes:
        raise OAuthRefused(
            "invalid_client_metadata",
            "None of these scopes exists. Use mcp:read, mcp:propose or mcp:write.",
        )
    is_public = metadata.token_endpoint_auth_method == "none"  # noqa: S105  a method's name
    secret = None if is_public else new_client_secret()
    app_id = AppId(new_id())
    row = queries.ADD_PROGRAM.one(
        session,
        app_id=app_id,
        client_id=new_registered_client_id(),
        secret_hash=hash_secret(secret) if secret else None,
        name=metadata.client_name,
        picture_url=metadata.logo_uri,
        redirect_uris=metadata.redirect_uris,
        scopes=list(scopes),
        refreshes=refreshes,
    )
    record(session, visitor, Action.APP_REGISTERED, app_id, after={"scopes": scopes})
    return RegisteredProgram(
        client_id=row.client_id,
        client_secret=secret,
        client_secret_expires_at=0 if secret else None,  # never
        client_id_issued_at=int(row.created_at.timestamp()),
        client_name=metadata.client_name,
        logo_uri=metadata.logo_uri,
        redirect_uris=metadata.redirect_uris,
        token_endpoint_auth_method="none" if is_public else "client_secret_post",
        grant_types=["authorization_code", *(["refresh_token"] if refreshes else [])],
        response_types=["code"],
        scope=scope_text(scopes),
    )
