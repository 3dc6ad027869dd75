"""How an organization's company login looks on the wire."""

from typing import Annotated

from pydantic import Field

from shared.core.ids import ConnectionId, CustomerId, DomainId
from shared.core.wire import RequestModel, WireModel, WireTime
from shared.organizations.schemas import Customers, WireRole

Issuer = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description="The issuer's address, letter by letter as in its discovery document.",
        examples=["https://login.example.com"],
    ),
]


class CompanyLoginIn(RequestModel):
    """The client at the issuer, and what newcomers get."""

    issuer: Issuer
    client_id: str = Field(min_length=1, max_length=500, examples=["roost"])
    client_secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=2_000,
        description="It is stored sealed and never shown. Left out: the stored one stays.",
    )
    role: WireRole = Field(
        default="USER", description="The role of newcomers; nobody becomes an owner by it."
    )
    customers: Customers = None
    required: bool = Field(
        default=False,
        description="Members must come through it; only an owner with a second factor need not.",
    )


class CompanyDomainIn(RequestModel):
    domain: str = Field(min_length=3, max_length=253, examples=["example.com"])


class CompanyDomainOut(WireModel):
    """A domain, and the TXT record that proves it."""

    id: DomainId
    domain: str
    record_name: str = Field(examples=["_roost-verification.example.com"])
    record_value: str = Field(examples=["roost=5b0c..."])
    proven_at: WireTime | None = Field(
        description="Null: the company login does not speak for the domain's addresses."
    )
    missing_since: WireTime | None = Field(
        description="Since when the record is gone. After a week, the domain has to be proven again."
    )


class CompanyLoginOut(WireModel):
    """`id` is null until the client is set."""

    id: ConnectionId | None
    issuer: str | None
    client_id: str | None
    has_secret: bool
    redirect_uri: str | None = Field(description="The redirect address to register at the issuer.")
    role: WireRole
    customers: list[CustomerId] | None
    required: bool
    domains: list[CompanyDomainOut]


class CompanyLoginRemoved(WireModel):
    sessions: int = Field(description="How many sessions came through it and ended.")


class CompanyDomainRemoved(WireModel):
    id: DomainId
