"""Channels over HTTP: listing platforms, connecting accounts, and changing channels."""

import re
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from shared.access.actor import actor_of
from shared.access.author import author_of
from shared.access.connector import connector_of
from shared.access.context import ActingMember, Via
from shared.channels import queries
from shared.channels.callback import HtmlAnswer, agreed, came_back
from shared.channels.callback_html import SECURITY_HEADERS
from shared.channels.change import ChannelChanges, change_channel, delete_channel
from shared.channels.connect import (
    STATE_LIFETIME,
    NewConnection,
    choose_page,
    connect_by_form,
    finish,
    list_pages,
    start,
)
from shared.channels.customers import change_customer
from shared.channels.mentions import find_mentions
from shared.channels.schemas import (
    CatalogueOut,
    ChangeCustomer,
    ChangeNickname,
    ChangePostingTimes,
    ChangeSettings,
    ChannelOut,
    ChannelRef,
    ChannelsOut,
    ChoosePage,
    ConnectChannel,
    ConnectedOut,
    FindMentions,
    MentionOut,
    PageOut,
    StartedOut,
    Zone,
    catalogue,
    channel_out,
    channels_out,
    connected_out,
    mentions_out,
    pages_out,
)
from shared.core.config import settings
from shared.core.crypto import new_secret
from shared.core.ids import ChannelId, CustomerId
from shared.core.wire import WebAddress
from shared.posts.store import delete_posts_of_channel
from shared.providers.registry import slugs
from shared.web import cookies
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Visiting, Writing
from shared.web.routing import Router

BROWSER_SECRET = re.compile(r"[\w-]{43}")  # the format of `new_secret`


def _browser(request: Request) -> str | None:
    return cookies.read(request, cookies.CONNECTING)


Browser = Annotated[str | None, Depends(_browser)]
"""The secret that identifies the browser that started connecting."""

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
# Some reads ask the platform, which may refuse.
ASKS_THE_PLATFORM: dict[int | str, dict[str, Any]] = {
    409: {"description": "The platform refused; the text is the platform's", "content": _PROBLEM},
}
# An error while connecting is html; an error in the request itself is problem details, as everywhere.
PAGES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {**_PROBLEM, "text/html": {}}}
    for status, description in (
        (403, "Another browser started connecting"),
        (404, "There is no such platform"),
        (409, "Not connected: the platform's reason, or an invalid or expired state"),
        (422, "A field of the form is missing or invalid"),
        (429, "Rate limit of the platform, or too many requests from this address"),
        (503, "The platform cannot be reached"),
    )
}
FORM_BODY = {
    "requestBody": {
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "state": {"type": "string"},
                        "code": {"type": "string"},
                        "pageId": {"type": "string"},
                    },
                    "additionalProperties": {"type": "string"},
                }
            }
        }
    }
}

integrations = Router(prefix="/integrations", tags=["Channels"])
callback = Router(prefix="/app/integrations/social", tags=["Channels"])


@integrations.get("")
def list_integrations(member: Acting, session: Reading) -> ChannelsOut:
    """List the channels. Oldest first, without tokens."""
    return channels_out(queries.list_channels(session, member.reach))


@integrations.get("/list")
def list_integrations_alias(member: Acting, session: Reading) -> ChannelsOut:
    """List the channels (alias).

    The same as `GET /integrations`, for clients that know it by this name.
    """
    return channels_out(queries.list_channels(session, member.reach))


@integrations.get("/providers")
def list_integration_providers() -> CatalogueOut:
    """List the platforms whose accounts can be connected.

    Each with how to connect, how it counts text, which media it accepts, and its settings.
    """
    hidden = settings().hidden_providers
    return catalogue([slug for slug in slugs() if slug not in hidden])


@integrations.get("/social/{provider}", responses=ASKS_THE_PLATFORM)
def start_social_integration(
    provider: str,
    member: Acting,
    response: Response,
    browser: Browser = None,
    refresh: Annotated[
        str | None, Query(max_length=500, description="The channel to reconnect.")
    ] = None,
    external_url: Annotated[
        str | None,
        Query(
            alias="externalUrl",
            max_length=500,
            description=("The server, for platforms with many."),
        ),
    ] = None,
    redirect_url: Annotated[
        WebAddress | None, Query(alias="redirectUrl", description="Where to go afterwards.")
    ] = None,
    timezone: Annotated[Zone | None, Query(description="The time zone of posting times.")] = None,
    customer: Annotated[
        CustomerId | None,
        Query(
            description="The customer of the new channel; required from members who see several."
        ),
    ] = None,
) -> StartedOut:
    """Start connecting an account.

    Returns the address that the member's browser must open. The platform then redirects the browser back to Roost.
    """
    kept = _keep_browser(response, member, browser)
    wanted = NewConnection(
        zone=member.timezone if timezone is None else timezone,
        instance=external_url,
        reconnects=refresh,
        return_url=redirect_url,
        browser=kept,
        customer_id=customer,
    )
    return StartedOut(url=start(connector_of(member), provider, wanted))


@integrations.post("/social/{provider}/connect", status_code=201)
def connect_social_integration(provider: str, body: ConnectChannel, member: Acting) -> ConnectedOut:
    """Finish connecting an account.

    Takes the platform's `state` and `code`, or the `fields` of a platform that is connected by a form.
    """
    return _connect(provider, body, member)


@integrations.post("/social-connect/{provider}", status_code=201)
def connect_social_integration_alias(
    provider: str, body: ConnectChannel, member: Acting
) -> ConnectedOut:
    """Finish connecting an account (alias).

    The same as `POST /integrations/social/{provider}/connect`, for clients that know it by this name.
    """
    return _connect(provider, body, member)


@integrations.post("/provider/{channel_id}/connect")
def choose_integration_page(channel_id: ChannelId, body: ChoosePage, member: Acting) -> ChannelOut:
    """Choose a channel's page.

    The last step of connecting an account that manages several pages.
    """
    return channel_out(choose_page(connector_of(member), channel_id, body.page_id))


@integrations.post("/disable")
def disable_integration(body: ChannelRef, member: Acting, session: Writing) -> ChannelOut:
    """Disable a channel. Posts that fall due while it is disabled fail."""
    return _changed(session, member, body.id, {"disabled": True})


@integrations.post("/enable")
def enable_integration(body: ChannelRef, member: Acting, session: Writing) -> ChannelOut:
    """Enable a disabled channel. Posts that fall due from now on are published again."""
    return _changed(session, member, body.id, {"disabled": False})


@integrations.post("/mentions")
def search_integration_mentions(body: FindMentions, member: Acting) -> list[MentionOut]:
    """Find people to mention. Asks the channel's platform; best match first."""
    return mentions_out(find_mentions(member.reach, body.id, body.data.query))


@integrations.delete("")
def delete_integration_by_body(body: ChannelRef, member: Acting, session: Writing) -> ChannelRef:
    """Delete a channel, named in the body. The same as `DELETE /integrations/{channel_id}`."""
    return _deleted(session, member, body.id)


@integrations.get("/{channel_id}")
def get_integration(channel_id: ChannelId, member: Acting, session: Reading) -> ChannelOut:
    """Read one channel. Without tokens."""
    return channel_out(queries.get_channel(session, member.reach, channel_id))


@integrations.delete("/{channel_id}")
def delete_integration(channel_id: ChannelId, member: Acting, session: Writing) -> ChannelRef:
    """Delete a channel.

    Its tokens are deleted. Published posts stay on the platform.
    """
    return _deleted(session, member, channel_id)


@integrations.get(
    "/{channel_id}/pages",
    responses=ASKS_THE_PLATFORM,
)
def list_integration_pages(channel_id: ChannelId, member: Acting) -> list[PageOut]:
    """List the pages that a channel can post to. Asks the channel's platform."""
    return pages_out(list_pages(member.reach, channel_id))


@integrations.post("/{channel_id}/settings")
def update_integration_settings(
    channel_id: ChannelId, body: ChangeSettings, member: Acting, session: Writing
) -> ChannelOut:
    """Change a channel's settings. Replaces the whole list of settings."""
    kept = [setting.model_dump(by_alias=True) for setting in body.additional_settings]
    return _changed(session, member, channel_id, {"additional_settings": kept})


@integrations.post("/{channel_id}/time", status_code=201)
def update_integration_times(
    channel_id: ChannelId, body: ChangePostingTimes, member: Acting, session: Writing
) -> ChannelOut:
    """Change a channel's posting times.

    Replaces the list. With an empty list, the queue never places a post on this channel.
    """
    times = [time.model_dump(exclude_none=True) for time in body.time]
    changes: ChannelChanges = {"posting_times": times}
    if body.timezone:
        changes["timezone"] = body.timezone
    return _changed(session, member, channel_id, changes)


@integrations.post("/{channel_id}/nickname")
def update_integration_nickname(
    channel_id: ChannelId, body: ChangeNickname, member: Acting, session: Writing
) -> ChannelOut:
    """Change a channel's nickname. Without a picture, the current one stays."""
    changes: ChannelChanges = {"name": body.name}
    if body.picture:
        changes["picture_url"] = body.picture
    return _changed(session, member, channel_id, changes)


@integrations.put("/{channel_id}/customer")
def update_integration_customer(
    channel_id: ChannelId, body: ChangeCustomer, member: Acting, session: Writing
) -> ChannelOut:
    """Set a channel's customer. A new name creates the customer; null removes it from the channel.

    Only for admins who are not limited to customers.
    """
    return channel_out(change_customer(session, member.reach, actor_of(member), channel_id, body))


@callback.get(
    "/{provider}",
    response_class=HTMLResponse,
    responses=PAGES,
)
def get_social_integration_page(
    provider: str, request: Request, visitor: Visiting, browser: Browser = None
) -> Response:
    """Return from a platform.

    An HTML page that shows which account was connected, what the member must still choose, or the platform's error.
    """
    return _page(came_back(provider, request.query_params, browser, visitor=visitor))


@callback.post(
    "/{provider}",
    response_class=HTMLResponse,
    responses=PAGES,
    openapi_extra=FORM_BODY,
)
async def submit_social_integration_page(
    provider: str, request: Request, visitor: Visiting, browser: Browser = None
) -> Response:
    """Submit a form of the page that a platform returned to.

    Continues with the consent, the account's fields, or the chosen page.
    """
    form = dict(parse_qsl((await request.body()).decode(errors="replace")))
    return _page(agreed(provider, form, browser, visitor=visitor))


def _connect(provider: str, body: ConnectChannel, member: ActingMember) -> ConnectedOut:
    connector = connector_of(member)
    if body.state is not None:
        finished = finish(
            provider,
            body.state,
            body.platform_code(),
            caller=connector,
            zone=body.timezone,
        )
    else:
        finished = connect_by_form(
            connector,
            provider,
            body.platform_code(),
            zone=member.timezone if body.timezone is None else body.timezone,
            reconnects=body.refresh,
            customer_id=body.customer,
        )
    return connected_out(finished)


def _changed(
    session: Writing, member: ActingMember, channel_id: ChannelId, changes: ChannelChanges
) -> ChannelOut:
    return channel_out(change_channel(session, member.reach, actor_of(member), channel_id, changes))


def _deleted(session: Writing, member: ActingMember, channel_id: ChannelId) -> ChannelRef:
    # Posts before their channel, in the publisher's lock order.
    delete_posts_of_channel(session, author_of(member), channel_id)
    deleted = delete_channel(session, member.reach, actor_of(member), channel_id)
    return ChannelRef(id=deleted.id)


def _keep_browser(response: Response, member: ActingMember, browser: str | None) -> str | None:
    """Set the cookie with the secret that identifies the starting browser when it returns; a program gets none."""
    if member.via is not Via.SESSION:
        return None
    secret = browser if browser and BROWSER_SECRET.fullmatch(browser) else new_secret()
    cookies.set_connecting(response, secret, STATE_LIFETIME)
    return secret


def _page(answer: HtmlAnswer) -> Response:
    if answer.location is not None:
        return RedirectResponse(answer.location, answer.status, headers=SECURITY_HEADERS)
    return HTMLResponse(answer.html, answer.status, headers=SECURITY_HEADERS)


app = make_app("channels", routers=[integrations, callback])
handler = as_handler(app)
