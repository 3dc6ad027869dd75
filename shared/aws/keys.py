"""Seals secrets with KMS: one data key per purpose, owner and five minutes."""

import functools
from uuid import UUID

from shared.aws.clients import client
from shared.core.config import settings
from shared.core.crypto import CannotOpen, Purpose, Sealer


class KmsKeys:
    """Data keys from KMS, bound to an encryption context."""

    def new_key(self, context: dict[str, str]) -> tuple[bytes, bytes]:
        """Return a new key, plain and wrapped."""
        answer = client("kms").generate_data_key(
            KeyId=settings().kms_key_id, KeySpec="AES_256", EncryptionContext=context
        )
        return answer["Plaintext"], answer["CiphertextBlob"]

    def open_key(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        """Unwrap a key."""
        kms = client("kms")
        try:
            plain: bytes = kms.decrypt(
                CiphertextBlob=wrapped, EncryptionContext=context, KeyId=settings().kms_key_id
            )["Plaintext"]
        except (
            kms.exceptions.InvalidCiphertextException,
            kms.exceptions.IncorrectKeyException,
        ) as error:
            raise CannotOpen("the key service does not unwrap the key in this context") from error
        return plain


@functools.cache
def _sealer() -> Sealer:
    return Sealer(KmsKeys())


def seal(plain: str, purpose: Purpose, owner: UUID) -> bytes:
    """Seal a text for a purpose and its owner: the id of an organization or a user, as the purpose says."""
    return _sealer().seal(plain, purpose, owner)


def open_sealed(sealed: bytes, purpose: Purpose, owner: UUID) -> str:
    """Open a text that was sealed for a purpose and its owner.

    Raises:
        CannotOpen: the value was changed, or has another purpose or owner.
    """
    return _sealer().open(sealed, purpose, owner)
