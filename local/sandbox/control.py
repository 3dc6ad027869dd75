"""The sandbox's control requests beyond Mastodon's API.

POST   /_faults    {"kind": "statuses", "action": "drop_after_accept", "count": 1, "account": "ada"}
let the next `count` requests of a kind fail (`faults.py` lists kinds and actions); with an
account, only those of that account
POST   /_faults    {"trait": "no_keys"}
differ from Mastodon as other software does, until the next DELETE: no_keys,
coarse_scopes, odd_addresses, v1_only, slow_forever, compressed
GET    /_faults    the remaining faults
DELETE /_faults    remove all faults and traits
GET    /_log       the last 20,000 API requests in the order of arrival
GET    /_statuses  all statuses, oldest first; with ?deleted=true including deleted ones
"""

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.sandbox import accounts, media, statuses
from local.sandbox.database import moment
from local.sandbox.entities import Entity, media_entity, status_url
from local.sandbox.faults import Fault, Faults, NewTrait
from local.sandbox.network import network_of
from local.sandbox.statuses import Status
from shared.core.clock import to_wire


async def add_fault(request: Request) -> Response:
    body, faults = await request.body(), network_of(request).faults
    try:
        if b'"trait"' in body:
            faults.become(NewTrait.model_validate_json(body).trait)
        else:
            faults.add(Fault.model_validate_json(body))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return JSONResponse({"error": "Not a fault", "problems": problems}, status_code=422)
    return JSONResponse(_as_json(faults), status_code=201)


async def list_faults(request: Request) -> Response:
    return JSONResponse(_as_json(network_of(request).faults))


def _as_json(faults: Faults) -> dict[str, object]:
    traits = faults.traits()
    return {"faults": faults.listed(), **({"traits": traits} if traits else {})}


async def clear_faults(request: Request) -> Response:
    network_of(request).faults.clear()
    return JSONResponse({"faults": []})


def list_requests(request: Request) -> Response:
    """Answer `GET /_log`. `status` is null if no answer was sent, or none in time."""
    rows = network_of(request).database.rows("SELECT * FROM requests ORDER BY id")
    entries = [
        {
            "time": to_wire(moment(row["received_ms"])),
            "method": row["method"],
            "path": row["path"],
            "account": row["account"],
            "idempotency_key": row["idempotency_key"],
            "fault": row["fault"],
            "status": row["status"],
        }
        for row in rows
    ]
    return JSONResponse({"requests": entries})


def list_statuses(request: Request) -> Response:
    """Answer `GET /_statuses`."""
    network = network_of(request)
    with_deleted = request.query_params.get("deleted") == "true"
    listed = statuses.everything(network.database, with_deleted=with_deleted)
    names = {account.id: account for account in accounts.list_accounts(network.database)}
    files = media.media_of_all(network.database)
    return JSONResponse(
        {
            "statuses": [
                _status_entry(
                    status,
                    url=status_url(network, names[status.account], status),
                    account=names[status.account].name,
                    files=[media_entity(network, file) for file in files.get(status.id, ())],
                )
                for status in listed
            ]
        }
    )


def _status_entry(status: Status, *, url: str, account: str, files: list[Entity]) -> Entity:
    return {
        "id": str(status.id),
        "account": account,
        "url": url,
        "text": status.text,
        "visibility": status.visibility,
        "in_reply_to_id": None if status.in_reply_to_id is None else str(status.in_reply_to_id),
        "idempotency_key": status.idempotency_key,
        "created_at": to_wire(moment(status.created_ms)),
        "deleted_at": None if status.deleted_ms is None else to_wire(moment(status.deleted_ms)),
        "media": files,
    }
