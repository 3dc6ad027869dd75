"""The parts of Mastodon's API that a publisher needs: accounts, media, statuses, the network itself.

Source: docs.joinmastodon.org/methods, read 2026-11.
"""

from datetime import timedelta
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from local.sandbox import accounts, media, statuses
from local.sandbox.accounts import Account
from local.sandbox.entities import (
    Entity,
    account_entity,
    credential_account_entity,
    deleted_status_entity,
    instance_entity,
    media_entity,
    old_instance_entity,
    status_entities,
)
from local.sandbox.faults import Trait
from local.sandbox.media import Media
from local.sandbox.network import Call
from local.sandbox.refusals import Refused, invalid, not_found
from local.sandbox.statuses import Draft, Status, Visibility, Window


def verify_credentials(call: Call) -> Response:
    account = call.account("profile", "read", "read:accounts")
    return JSONResponse(credential_account_entity(call.network, account))


def get_account(call: Call) -> Response:
    return JSONResponse(account_entity(call.network, _account_in_path(call)))


def look_up_account(call: Call) -> Response:
    name = (call.params.text("acct") or "").removeprefix("@").partition("@")[0]
    account = accounts.find_account_by_name(call.database, name)
    if account is None:
        raise not_found()
    return JSONResponse(account_entity(call.network, account))


def _account_in_path(call: Call) -> Account:
    account = accounts.find_account(call.database, call.path("id"))
    if account is None:
        raise not_found()
    return account


def list_account_statuses(call: Call) -> Response:
    """Answer with a page of an account's statuses, newest first, with a `Link` to the next and the previous page."""
    account = _account_in_path(call)
    window = Window(
        limit=call.params.number("limit", default=20, most=40),
        max_id=_id(call, "max_id"),
        since_id=_id(call, "since_id"),
        min_id=_id(call, "min_id"),
    )
    if call.params.flag("pinned"):
        return JSONResponse([])
    found = statuses.of_account(
        call.database,
        account,
        viewer=call.viewer,
        window=window,
        exclude_replies=call.params.flag("exclude_replies"),
        only_media=call.params.flag("only_media"),
    )
    response = JSONResponse(status_entities(call.network, found, viewer=call.viewer))
    if found:
        response.headers["Link"] = _links(call, found, limit=window.limit)
    return response


def _id(call: Call, name: str) -> str | None:
    value = call.params.text(name) or ""
    return value if value.isascii() and value.isdigit() else None


def _links(call: Call, found: list[Status], *, limit: int) -> str:
    address = f"{call.network.public_url}{call.request.url.path}"
    older = urlencode({"limit": limit, "max_id": found[-1].id})
    newer = urlencode({"limit": limit, "min_id": found[0].id})
    return f'<{address}?{older}>; rel="next", <{address}?{newer}>; rel="prev"'


def search(call: Call) -> Response:
    """Answer with accounts only; statuses and hashtags are not searched here."""
    call.authorized("read", "read:search")
    wanted = call.params.text("type") or "accounts"
    found = _matching_accounts(call) if wanted == "accounts" else []
    return JSONResponse({"accounts": found, "statuses": [], "hashtags": []})


def search_accounts(call: Call) -> Response:
    """Answer `GET /api/v1/accounts/search`, which clients call while a user types a mention."""
    call.account("read", "read:accounts")
    return JSONResponse(_matching_accounts(call))


def _matching_accounts(call: Call) -> list[Entity]:
    query = (call.params.text("q") or "").strip().removeprefix("@").partition("@")[0]
    limit = call.params.number("limit", default=20, most=40)
    found = accounts.search_accounts(call.database, query, limit=limit) if query else []
    return [account_entity(call.network, account) for account in found]


def upload_media(call: Call) -> Response:
    """Answer `POST /api/v2/media`: 202 while the file is being processed."""
    file = _uploaded(call, processing=call.network.processing)
    ready = media.is_ready(call.database, file)
    return JSONResponse(media_entity(call.network, file), status_code=200 if ready else 202)


def upload_media_at_once(call: Call) -> Response:
    """Answer the older `POST /api/v1/media`, which answers when the file is ready."""
    file = _uploaded(call, processing=timedelta(0))
    if not file.readable:
        raise _broken_file()
    return JSONResponse(media_entity(call.network, file))


def _uploaded(call: Call, *, processing: timedelta) -> Media:
    account = call.account("write", "write:media")
    file = call.params.file("file")
    if file is None:
        raise invalid("File can't be blank")
    return media.upload(
        call.database,
        call.network.media_directory,
        account,
        file=file.file,
        description=call.params.text("description"),
        focus=_focus(call),
        processing=processing,
    )


def _focus(call: Call) -> str | None:
    """Read `x,y`, each from -1 to 1."""
    focus = call.params.text("focus")
    if not focus:
        return None
    try:
        x, y = (float(part) for part in focus.split(","))
    except ValueError as error:
        raise invalid("Focus is invalid") from error
    if not (-1 <= x <= 1 and -1 <= y <= 1):
        raise invalid("Focus is invalid")
    return f"{x},{y}"


def _broken_file() -> Refused:
    return Refused(422, "Error processing thumbnail for uploaded media")


def get_media(call: Call) -> Response:
    """Answer 206 while the file is being processed, 200 after."""
    file = media.get_unattached(
        call.database, call.account("write", "write:media"), call.path("id")
    )
    if not media.is_ready(call.database, file):
        return JSONResponse(media_entity(call.network, file), status_code=206)
    if not file.readable:
        raise _broken_file()
    return JSONResponse(media_entity(call.network, file))


def change_media(call: Call) -> Response:
    file = media.describe(
        call.database,
        call.account("write", "write:media"),
        call.path("id"),
        description=call.params.text("description"),
        focus=_focus(call),
    )
    return JSONResponse(media_entity(call.network, file))


def post_status(call: Call) -> Response:
    """Answer `POST /api/v1/statuses`; scheduled statuses and polls are refused rather than ignored."""
    token = call.authorized("write", "write:statuses")
    account = call.account("write", "write:statuses")
    for unsupported in ("scheduled_at", "poll"):
        if call.params.text(unsupported):
            raise invalid(f"{unsupported} is not supported by the sandbox")
    draft = Draft(
        text=call.params.text("status") or "",
        spoiler_text=call.params.text("spoiler_text") or "",
        sensitive=call.params.flag("sensitive"),
        visibility=call.params.text("visibility") or Visibility.PUBLIC,
        language=call.params.text("language") or "en",
        in_reply_to_id=call.params.text("in_reply_to_id") or None,
        media_ids=call.params.texts("media_ids"),
    )
    forgets = call.network.faults.has(Trait.NO_KEYS)
    key = None if forgets else call.idempotency_key
    status = statuses.post(call.database, account, draft, client=token.client, key=key)
    return _status_response(call, status)


def get_status(call: Call) -> Response:
    status = statuses.get(call.database, call.path("id"), viewer=call.viewer)
    return _status_response(call, status)


def _status_response(call: Call, status: Status) -> Response:
    return JSONResponse(status_entities(call.network, [status], viewer=call.viewer)[0])


def get_status_context(call: Call) -> Response:
    """Answer with a status's ancestors and descendants, as far as the caller may see them."""
    status = statuses.get(call.database, call.path("id"), viewer=call.viewer)
    around = {
        "ancestors": statuses.ancestors(call.database, status),
        "descendants": statuses.descendants(call.database, status),
    }
    return JSONResponse(
        {
            side: status_entities(
                call.network,
                [other for other in listed if statuses.may_see(call.viewer, other)],
                viewer=call.viewer,
            )
            for side, listed in around.items()
        }
    )


def delete_status(call: Call) -> Response:
    account = call.account("write", "write:statuses")
    entity = deleted_status_entity(
        call.network,
        statuses.get(call.database, call.path("id"), viewer=account),
        viewer=account,
    )
    statuses.delete(call.database, account, call.path("id"))
    return JSONResponse(entity)


def get_instance(call: Call) -> Response:
    if call.network.faults.has(Trait.V1_ONLY):
        raise not_found()
    return JSONResponse(instance_entity(call.network))


def get_old_instance(call: Call) -> Response:
    return JSONResponse(old_instance_entity(call.network))


def no_such_method(_call: Call) -> Response:
    """Answer every other path below `/api/`."""
    raise not_found()
