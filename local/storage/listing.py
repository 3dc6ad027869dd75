"""Lists a page of a bucket's object keys: `ListObjectsV2` with prefix, delimiter and continuation."""

import base64
from urllib.parse import quote
from xml.sax.saxutils import escape

from local.storage.objects import ObjectStore, StoredObject
from local.storage.protocol import Answer, Request, flag, iso_time, xml_answer


def list_page(store: ObjectStore, request: Request) -> Answer:
    """Answer with up to `max-keys` object keys and groups; the continuation token is the last object key of the page."""
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    limit = min(int(request.query.get("max-keys", "1000")), 1000)
    token = request.query.get("continuation-token")
    after = (
        base64.urlsafe_b64decode(token).decode() if token else request.query.get("start-after", "")
    )
    entries: list[str] = []
    groups: list[str] = []
    last = after
    for stored in store.list(request.bucket, prefix=prefix, after=after):
        cut = stored.key.find(delimiter, len(prefix)) if delimiter else -1
        group = stored.key[: cut + len(delimiter)] if cut >= 0 else None
        if group is not None and (group in groups[-1:] or after.startswith(group)):
            last = stored.key
            continue
        if len(entries) + len(groups) == limit:
            break
        last = stored.key
        if group is not None:
            groups.append(group)
        else:
            entries.append(_contents(stored, _written(request, stored.key)))
    else:
        last = ""
    common = "".join(
        f"<CommonPrefixes><Prefix>{_written(request, group)}</Prefix></CommonPrefixes>"
        for group in groups
    )
    following = (
        f"<NextContinuationToken>{base64.urlsafe_b64encode(last.encode()).decode()}</NextContinuationToken>"
        if last
        else ""
    )
    encoding = (
        "<EncodingType>url</EncodingType>" if request.query.get("encoding-type") == "url" else ""
    )
    return xml_answer(
        "ListBucketResult",
        f"<Name>{request.bucket}</Name><Prefix>{_written(request, prefix)}</Prefix><KeyCount>{len(entries) + len(groups)}</KeyCount>"
        f"<MaxKeys>{limit}</MaxKeys>{encoding}<IsTruncated>{flag(bool(last))}</IsTruncated>{following}{''.join(entries)}{common}",
    )


def _written(request: Request, key: str) -> str:
    return quote(key, safe="/") if request.query.get("encoding-type") == "url" else escape(key)


def _contents(stored: StoredObject, key: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{iso_time(stored.modified)}</LastModified><ETag>&quot;{stored.etag}&quot;</ETag>"
        f"<Size>{stored.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
