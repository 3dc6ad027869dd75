"""Creates, changes and deletes an organization's app. Its secret is shown only once."""

from sqlalchemy.orm import Session

from shared.apps import queries
from shared.apps.credentials import new_client_id, new_client_secret
from shared.apps.errors import AppExists, NoApp
from shared.apps.schemas import AppChange, AppIn, AppMade, AppOut, AppSecret
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.crypto import hash_secret
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import AppId, OrganizationId, new_id
from shared.db.statement import to_json


def get_app(session: Session, organization_id: OrganizationId) -> AppOut:
    """Return the organization's app.

    Raises:
        NoApp: the organization has no app.
    """
    return _out(queries.FIND_APP.find(session, organization_id))


def make_app(session: Session, actor: Actor, app: AppIn) -> AppMade:
    """Create the organization's app. Only this answer shows its secret.

    Raises:
        AppExists: the organization already has an app.
    """
    secret = new_client_secret()
    row = queries.ADD_APP.find(
        session,
        organization_id=actor.organization,
        app_id=AppId(new_id()),
        client_id=new_client_id(),
        secret_hash=hash_secret(secret),
        name=app.name,
        description=app.description,
        picture_url=app.picture,
        redirect_uris=[app.redirect_url],
    )
    if row is None:
        raise AppExists
    record(session, actor, Action.APP_CREATED, row.id)
    return AppMade(**_out(row).model_dump(), client_secret=secret)


def change_app(session: Session, actor: Actor, change: AppChange) -> AppOut:
    """Change the given fields; the others stay unchanged.

    Raises:
        InvalidInput: no field is given, or null for a required one.
        NoApp: there is none.
    """
    given = {name: getattr(change, name) for name in change.model_fields_set}
    if nulls := [name for name, value in given.items() if value is None and name != "picture"]:
        _refuse(
            nulls[0], "missing", "This must not be empty. Leave it out to keep the current value."
        )
    if not given:
        _refuse(
            "name",
            "missing",
            "There is nothing to change. Send a name, a description, a picture or a redirect URL.",
        )
    values = {_COLUMNS[name]: value for name, value in given.items()}
    if "redirect_uris" in values:
        values["redirect_uris"] = [values["redirect_uris"]]
    changed = _out(queries.CHANGE_APP.find(session, actor.organization, to_json(values)))
    record(session, actor, Action.APP_UPDATED, changed.id)
    return changed


def rotate_secret(session: Session, actor: Actor) -> AppSecret:
    """Rotate the app's secret. The old one is refused at once; tokens stay valid.

    Raises:
        NoApp: there is none.
    """
    secret = new_client_secret()
    row = queries.ROTATE_SECRET.find(session, actor.organization, hash_secret(secret))
    if row is None:
        raise NoApp
    record(session, actor, Action.APP_SECRET_ROTATED, row.id)
    return AppSecret(client_id=row.client_id, client_secret=secret)


def delete_app(session: Session, actor: Actor) -> AppId:
    """Delete the app and revoke all its tokens.

    Raises:
        NoApp: there is none.
    """
    deleted = queries.DELETE_APP.find(session, actor.organization)
    if deleted is None:
        raise NoApp
    record(session, actor, Action.APP_DELETED, deleted.id)
    return deleted.id


_COLUMNS = {
    "name": "name",
    "description": "description",
    "picture": "picture_url",
    "redirect_url": "redirect_uris",
}
_WIRE = {"redirect_url": "redirectUrl"}


def _out(row: queries.AppRow | None) -> AppOut:
    if row is None:
        raise NoApp
    return AppOut(
        id=row.id,
        name=row.name,
        description=row.description,
        picture=row.picture_url,
        client_id=row.client_id,
        redirect_url=row.redirect_uris[0],
        created_at=row.created_at,
    )


def _refuse(name: str, code: str, message: str) -> None:
    problem = FieldProblem(_WIRE.get(name, name), code, message)
    raise InvalidInput("Some fields were refused.", problems=[problem])
