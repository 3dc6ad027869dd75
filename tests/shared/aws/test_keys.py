"""Whether what is sealed can be opened for its purpose and owner, and for nothing else."""

import struct
from uuid import UUID

import boto3
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.aws import keys
from shared.aws.keys import open_sealed, seal
from shared.core.crypto import CannotOpen, Purpose
from shared.core.ids import new_id
from tests.conftest import Configure


@pytest.fixture(autouse=True)
def _key_service(aws: None, configure: Configure) -> None:
    configure(KMS_KEY_ID=boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
    keys._sealer.cache_clear()


def sealed_before(plain: str, organization_id: UUID) -> bytes:
    """Seal as version 1 did."""
    context = {"organization": str(organization_id), "purpose": "channel"}
    key, wrapped = keys.KmsKeys().new_key(context)
    nonce = b"n" * 12
    sealed = AESGCM(key).encrypt(nonce, plain.encode(), organization_id.bytes)
    return struct.pack(">BH", 1, len(wrapped)) + wrapped + nonce + sealed


@pytest.mark.parametrize("purpose", Purpose)
def test_is_opened_for_its_purpose_and_owner(purpose: Purpose) -> None:
    owner = new_id()
    sealed = seal("secret", purpose, owner)
    assert b"secret" not in sealed
    assert open_sealed(sealed, purpose, owner) == "secret"
    keys._sealer.cache_clear()
    assert open_sealed(sealed, purpose, owner) == "secret"


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("remembers", [True, False])
def test_is_not_opened_for_another_purpose(purpose: Purpose, remembers: bool) -> None:
    owner = new_id()
    sealed = seal("secret", Purpose.CHANNEL, owner)
    if not remembers:
        keys._sealer.cache_clear()
    if purpose is not Purpose.CHANNEL:
        with pytest.raises(CannotOpen):
            open_sealed(sealed, purpose, owner)


def test_is_not_opened_for_another_owner() -> None:
    sealed = seal("secret", Purpose.FACTOR, new_id())
    with pytest.raises(CannotOpen):
        open_sealed(sealed, Purpose.FACTOR, new_id())


def test_changed_value_is_not_opened() -> None:
    owner = new_id()
    sealed = bytearray(seal("secret", Purpose.CHANNEL, owner))
    sealed[-1] ^= 1
    with pytest.raises(CannotOpen):
        open_sealed(bytes(sealed), Purpose.CHANNEL, owner)
    with pytest.raises(CannotOpen):
        open_sealed(b"\x03" + bytes(sealed[1:]), Purpose.CHANNEL, owner)


class TestVersionOne:
    @pytest.mark.parametrize("purpose", [each for each in Purpose if each.owner == "organization"])
    def test_is_still_opened(self, purpose: Purpose) -> None:
        owner = new_id()
        assert open_sealed(sealed_before("secret", owner), purpose, owner) == "secret"

    def test_belongs_to_its_organization(self) -> None:
        with pytest.raises(CannotOpen):
            open_sealed(sealed_before("secret", new_id()), Purpose.CHANNEL, new_id())

    def test_has_nothing_of_a_person(self) -> None:
        owner = new_id()
        with pytest.raises(CannotOpen):
            open_sealed(sealed_before("secret", owner), Purpose.FACTOR, owner)
