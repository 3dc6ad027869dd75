"""Asks for TXT records of DNS, which prove whose a domain is.

On a laptop, names that end in `.test` are asked of the server that `TEST_NAMES_SERVER` names; no other name is.
"""

from datetime import timedelta

from shared.core.config import settings

PATIENCE = timedelta(seconds=5)
_TEST = ".test"


class NamesUnavailable(Exception):
    """No name server gave an answer, so it is not known whether there is a record."""


def find_txt_records(name: str) -> list[str]:
    """Return the texts of a name's TXT records, each put together from its parts; empty if there is none.

    Raises:
        NamesUnavailable: no server answered, or only with a failure.
    """
    # Imported here, because only these questions need it and it takes a while.
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN, Resolver

    is_test = name.endswith(_TEST)
    resolver = Resolver(configure=not is_test)
    if is_test:
        host, _, port = settings().test_names_server.rpartition(":")
        if not host:
            raise NamesUnavailable  # without the setting, names that end in .test have no server
        resolver.nameservers, resolver.port = [host], int(port)
    try:
        answer = resolver.resolve(
            name, "TXT", lifetime=PATIENCE.total_seconds(), search=False, raise_on_no_answer=False
        )
    except NXDOMAIN:
        return []
    except DNSException as error:
        raise NamesUnavailable(str(error)) from error
    records = answer.rrset or ()
    return [b"".join(record.strings).decode(errors="replace") for record in records]
