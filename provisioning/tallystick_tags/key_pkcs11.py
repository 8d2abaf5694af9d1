"""A master key on a PKCS#11 token: a smart card, an HSM, SoftHSM2. It is made there and cannot be taken out.

Addressed by a PKCS#11 URI (RFC 7512): pkcs11:token=tally;object=master?module-path=/usr/lib/softhsm/libsofthsm2.so
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pkcs11
from pkcs11.exceptions import NoSuchKey, PinIncorrect, PKCS11Error

from tallystick_tags.errors import KeysError

SCHEME = "pkcs11:"
_KEY_BITS = 128
_NOT_EXTRACTABLE = {
    pkcs11.Attribute.SENSITIVE: True,
    pkcs11.Attribute.EXTRACTABLE: False,
    pkcs11.Attribute.PRIVATE: True,
    pkcs11.Attribute.SIGN: True,
    # CMAC and nothing else: a key that also encrypted blocks could be asked for its subkeys.
    pkcs11.Attribute.ENCRYPT: False,
    pkcs11.Attribute.DECRYPT: False,
    pkcs11.Attribute.WRAP: False,
    pkcs11.Attribute.UNWRAP: False,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Which key on which token, through which library."""

    token: str
    object: str
    module: str


def parse(uri: str) -> Address:
    """The parts of a PKCS#11 URI that we need: token, object, module-path. KeysError names what is missing."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    found = dict(_pair(part) for part in [*path.split(";"), *query.split("&")] if part)
    if "pin-value" in found:
        raise KeysError("a PIN does not belong in an address: give --secret-file")
    unknown = sorted(set(found) - {"token", "object", "module-path", "type"})
    if unknown:
        raise KeysError(f"{uri}: {unknown[0]} is not understood; token, object and module-path are")
    for name in ("token", "object", "module-path"):
        if not found.get(name):
            raise KeysError(f"{uri}: {name} is missing")
    return Address(found["token"], found["object"], found["module-path"])


class Pkcs11Master:
    """An open token with its key. The token computes the CMAC; the key's bytes never come here."""

    def __init__(self, uri: str, pin: str) -> None:
        address = parse(uri)
        with _token_errors(address):
            self._session = _token(address).open(user_pin=pin)
            try:
                self._key = _key(self._session, address.object)
                readable = self._key[pkcs11.Attribute.EXTRACTABLE] or not self._key[pkcs11.Attribute.SENSITIVE]
            except BaseException:
                self._session.close()
                raise
        self._address = address
        if readable:
            self.close()
            raise KeysError(f"key {address.object!r} can be taken out of its token: make one with `tag keys new`")

    def cmac(self, message: bytes) -> bytes:
        with _token_errors(self._address):
            return bytes(self._key.sign(message, mechanism=pkcs11.Mechanism.AES_CMAC))

    def close(self) -> None:
        with _token_errors(self._address):
            self._session.close()


def create(uri: str, pin: str, dry_run: bool = False) -> None:
    """Make the key on the token, not extractable; KeysError when one of that name is there. `dry_run`: only look."""
    address = parse(uri)
    with _token_errors(address), _token(address).open(rw=not dry_run, user_pin=pin) as session:
        if list(session.get_objects({pkcs11.Attribute.LABEL: address.object})):
            raise KeysError(f"token {address.token!r} has a key {address.object!r} already; it is never overwritten")
        if not dry_run:
            session.generate_key(
                pkcs11.KeyType.AES, _KEY_BITS, label=address.object, store=True, template=_NOT_EXTRACTABLE
            )


def _key(session: pkcs11.Session, name: str) -> Any:
    """The one secret key of that name. The search is read to its end: an open one disturbs what comes after."""
    wanted = {pkcs11.Attribute.LABEL: name, pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}
    found = list(session.get_objects(wanted))
    if len(found) > 1:
        raise KeysError(f"the token has {len(found)} keys {name!r}")
    if not found:
        raise NoSuchKey
    return found[0]


def _token(address: Address) -> pkcs11.Token:
    return pkcs11.lib(address.module).get_token(token_label=address.token)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, unquote(value)


@contextmanager
def _token_errors(address: Address) -> Iterator[None]:
    """The library's errors as ours; python-pkcs11 raises RuntimeError for a library that does not load."""
    try:
        yield
    except PinIncorrect:
        raise KeysError(f"token {address.token!r}: wrong PIN (a few more lock it)") from None
    except NoSuchKey:
        raise KeysError(f"token {address.token!r}: no key {address.object!r}; make it with `tag keys new`") from None
    except (PKCS11Error, RuntimeError) as error:
        raise KeysError(f"token {address.token!r}: {str(error) or type(error).__name__}") from None
