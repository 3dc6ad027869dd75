"""Mastodon's JSON for accounts, statuses, files and the network.

Source: docs.joinmastodon.org/entities, read 2026-11. Fields of features that the sandbox lacks (boosts, polls, follows)
have the value that means "none".
"""

from collections.abc import Sequence
from typing import Any

from local.sandbox import accounts, media, pictures, statuses, text
from local.sandbox.accounts import Account, Client
from local.sandbox.database import moment
from local.sandbox.faults import Trait
from local.sandbox.media import Media
from local.sandbox.network import Network
from local.sandbox.statuses import Status, Visibility
from shared.core.clock import to_wire

Entity = dict[str, Any]

VERSION = "4.5.0"  # the version whose behavior the sandbox has
FORGETFUL_VERSION = (
    "0.20.0+git-1a2b3c4"  # in the format of GoToSocial, which keeps no idempotency keys
)
SCOPES = (
    *("profile", "read", "write", "push", "follow"),
    *("read:accounts", "read:search", "read:statuses", "read:notifications"),
    *("write:accounts", "write:media", "write:statuses"),
)
_TITLE = "Sandbox"
_ABOUT = "A small social network on your own machine, for trying out what Roost publishes."


def account_url(network: Network, account: Account) -> str:
    return f"{network.public_url}/@{account.name}"


def status_url(network: Network, account: Account, status: Status) -> str:
    if network.faults.has(Trait.ODD_ADDRESSES):
        return f"{account_url(network, account)}/statuses/{status.id}"
    return f"{account_url(network, account)}/{status.id}"


def account_entity(network: Network, account: Account) -> Entity:
    posted, latest = statuses.tally(network.database, account)
    avatar = f"{network.public_url}/avatars/{account.name}.png"
    header = f"{network.public_url}/headers/{account.name}.png"
    return {
        "id": str(account.id),
        "username": account.name,
        "acct": account.name,
        "display_name": account.display_name,
        "locked": False,
        "bot": False,
        "discoverable": True,
        "indexable": False,
        "group": False,
        "created_at": to_wire(moment(account.created_ms)),
        "note": "",
        "url": account_url(network, account),
        "uri": account_url(network, account),
        "avatar": avatar,
        "avatar_static": avatar,
        "header": header,
        "header_static": header,
        "followers_count": 0,
        "following_count": 0,
        "statuses_count": posted,
        "last_status_at": None if latest is None else moment(latest).date().isoformat(),
        "emojis": [],
        "fields": [],
        "roles": [],
    }


def credential_account_entity(network: Network, account: Account) -> Entity:
    return {
        **account_entity(network, account),
        "source": {
            "privacy": Visibility.PUBLIC,
            "sensitive": False,
            "language": "en",
            "note": "",
            "fields": [],
            "follow_requests_count": 0,
            "indexable": False,
            "discoverable": True,
            "hide_collections": False,
        },
        "role": {"id": "-99", "name": "", "permissions": "0", "color": "", "highlighted": False},
    }


def media_entity(network: Network, file: Media) -> Entity:
    """Describe a file; its `url` is null while it is being processed, and for good when it is broken."""
    ready = file.readable and media.is_ready(network.database, file)
    files = f"{network.public_url}/media"
    return {
        "id": str(file.id),
        "type": "video" if file.is_video else "image",
        "url": f"{files}/{file.file_name}" if ready else None,
        "preview_url": f"{files}/{file.small_file_name}",
        "remote_url": None,
        "preview_remote_url": None,
        "text_url": None,
        "meta": _meta(file) if ready else {},
        "description": file.description,
        "blurhash": None,
    }


def _meta(file: Media) -> Entity:
    meta: Entity = {}
    if file.focus:
        x, _, y = file.focus.partition(",")
        meta["focus"] = {"x": float(x), "y": float(y)}
    if file.width and file.height:
        shrink = min(1.0, *(limit / max(file.width, file.height) for limit in pictures.SMALL))
        meta["original"] = _size(file.width, file.height)
        meta["small"] = _size(
            max(1, round(file.width * shrink)), max(1, round(file.height * shrink))
        )
    return meta


def _size(width: int, height: int) -> Entity:
    return {
        "width": width,
        "height": height,
        "size": f"{width}x{height}",
        "aspect": width / height,
    }


def status_entities(
    network: Network, listed: Sequence[Status], *, viewer: Account | None
) -> list[Entity]:
    """Describe statuses in their order; the number of statements does not depend on the number of statuses."""
    database = network.database
    ids = [status.id for status in listed]
    files = media.media_of(database, ids)
    replies = statuses.reply_counts(database, ids)
    clients = accounts.client_names(database, sorted({status.client for status in listed}))
    authors: dict[int, tuple[Account, Entity]] = {}
    entities = []
    for status in listed:
        if status.account not in authors:
            account = accounts.find_account(database, status.account)
            assert account is not None
            authors[status.account] = account, account_entity(network, account)
        author, author_entity = authors[status.account]
        mentioned = _mentioned(network, status)
        name, website = clients[status.client]
        entities.append(
            {
                "id": str(status.id),
                "created_at": to_wire(moment(status.created_ms)),
                "in_reply_to_id": _id(status.in_reply_to_id),
                "in_reply_to_account_id": _id(status.in_reply_to_account),
                "sensitive": status.sensitive,
                "spoiler_text": status.spoiler_text,
                "visibility": status.visibility,
                "language": status.language,
                "uri": status_url(network, author, status),
                "url": status_url(network, author, status),
                "replies_count": replies.get(status.id, 0),
                "reblogs_count": 0,
                "favourites_count": 0,
                "quotes_count": 0,
                "edited_at": None,
                "content": text.to_html(
                    status.text,
                    public_url=network.public_url,
                    names={account.name for account in mentioned},
                ),
                "reblog": None,
                "application": {"name": name, "website": website},
                "account": author_entity,
                "media_attachments": [
                    media_entity(network, file) for file in files.get(status.id, ())
                ],
                "mentions": [_mention_entity(network, account) for account in mentioned],
                "tags": [
                    {"name": tag, "url": f"{network.public_url}/tags/{tag}"}
                    for tag in text.tags(status.text)
                ],
                "emojis": [],
                "card": None,
                "poll": None,
                **(_NOT_DONE_BY_VIEWER if viewer else {}),
            }
        )
    return entities


_NOT_DONE_BY_VIEWER: Entity = {
    "favourited": False,
    "reblogged": False,
    "muted": False,
    "bookmarked": False,
    "pinned": False,
    "filtered": [],
}


def _id(number: int | None) -> str | None:
    return None if number is None else str(number)


def _mentioned(network: Network, status: Status) -> list[Account]:
    found = (
        accounts.find_account_by_name(network.database, name)
        for name in text.mentioned_names(status.text)
    )
    return [account for account in found if account]


def _mention_entity(network: Network, account: Account) -> Entity:
    return {
        "id": str(account.id),
        "username": account.name,
        "acct": account.name,
        "url": account_url(network, account),
    }


def deleted_status_entity(network: Network, status: Status, *, viewer: Account) -> Entity:
    """Describe a status before its deletion, with its source text instead of the HTML."""
    entity = status_entities(network, [status], viewer=viewer)[0]
    del entity["content"]
    return {**entity, "text": status.text}


def application_entity(client: Client) -> Entity:
    return {
        "id": str(client.id),
        "name": client.name,
        "website": client.website,
        "scopes": list(client.scopes),
        "redirect_uris": list(client.redirect_uris),
        "redirect_uri": "\n".join(client.redirect_uris),
        "vapid_key": "",
    }


def credential_application_entity(client: Client) -> Entity:
    return {
        **application_entity(client),
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "client_secret_expires_at": 0,
    }


def _configuration() -> Entity:
    return {
        "accounts": {"max_featured_tags": 10, "max_pinned_statuses": 5},
        "statuses": {
            "max_characters": text.MAX_LENGTH,
            "max_media_attachments": media.MAX_PER_STATUS,
            "characters_reserved_per_url": text.LINK_LENGTH,
        },
        "media_attachments": {
            "supported_mime_types": list(pictures.EXTENSIONS),
            "description_limit": media.MAX_DESCRIPTION,
            "image_size_limit": pictures.MAX_IMAGE_BYTES,
            "image_matrix_limit": pictures.MAX_IMAGE_PIXELS,
            "video_size_limit": pictures.MAX_VIDEO_BYTES,
            "video_frame_rate_limit": 120,
            "video_matrix_limit": 8_294_400,
        },
        "polls": {  # required by the format; a status with a poll is refused
            "max_options": 4,
            "max_characters_per_option": 50,
            "min_expiration": 300,
            "max_expiration": 2_629_746,
        },
    }


def _version(network: Network) -> str:
    return FORGETFUL_VERSION if network.faults.has(Trait.NO_KEYS) else VERSION


def _domain(network: Network) -> str:
    return network.public_url.partition("://")[2]


def instance_entity(network: Network) -> Entity:
    """Describe the network as `GET /api/v2/instance` does."""
    return {
        "domain": _domain(network),
        "title": _TITLE,
        "version": _version(network),
        "source_url": network.public_url,
        "description": _ABOUT,
        "usage": {"users": {"active_month": len(accounts.list_accounts(network.database))}},
        "thumbnail": {"url": f"{network.public_url}/headers/sandbox.png"},
        "icon": [],
        "languages": ["en"],
        "configuration": {
            "urls": {},
            **_configuration(),
            "translation": {"enabled": False},
        },
        "registrations": {"enabled": True, "approval_required": False, "message": None},
        "api_versions": {"mastodon": 2},
        "contact": {"email": "nobody@sandbox.invalid", "account": None},
        "rules": [],
    }


def old_instance_entity(network: Network) -> Entity:
    """Describe the network as `GET /api/v1/instance` does."""
    return {
        "uri": _domain(network),
        "title": _TITLE,
        "short_description": _ABOUT,
        "description": _ABOUT,
        "email": "nobody@sandbox.invalid",
        "version": _version(network),
        "urls": {"streaming_api": network.public_url},
        "stats": {
            "user_count": len(accounts.list_accounts(network.database)),
            "status_count": statuses.count(network.database),
            "domain_count": 1,
        },
        "thumbnail": f"{network.public_url}/headers/sandbox.png",
        "languages": ["en"],
        "registrations": True,
        "approval_required": False,
        "invites_enabled": False,
        **(
            {"max_toot_chars": text.MAX_LENGTH}
            if network.faults.has(Trait.V1_ONLY)
            else {"configuration": _configuration()}
        ),
        "contact_account": None,
        "rules": [],
    }
