"""Ed25519 signatures (RFC 8032 section 5.1): the node signs, only hosts verify. The one place that chooses the signer.

At boot the fast signer is taken where the interpreter can run it (viper code, native to the board), else the one in
plain integers. Whichever it is must sign a message right whose signature is known: a node with wrong arithmetic stops.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.ed25519_pure import SigningKey as SigningKey

SEED_BYTES = 32
# Seed 00 01 ... 1f, a message of 120 zeros: bytes 32 to 47 of the signature. They follow from all that is done.
_ANSWER = b'\xf7!\xb7\xc3\xa0~\xf7\x1c\xeb\tF5q\x8e\x84\xa1'

slow_because: "str | None"  # why the signer is the one in plain integers; None when it is the fast one


def _choose() -> "tuple[type[SigningKey], str | None]":
    """The signer and `slow_because`; NodeError when none signs right."""
    reason = "wrong signature"
    try:
        from tallystick_node import ed25519_viper

        fast: "type[SigningKey]" = ed25519_viper.SigningKey  # type: ignore[assignment]
        if _is_right(fast):
            return fast, None
    except (ImportError, SyntaxError, ValueError) as error:  # no viper, or machine code of another architecture
        reason = str(error)
    from tallystick_node import ed25519_pure

    if not _is_right(ed25519_pure.SigningKey):
        from tallystick_node.errors import NodeError

        raise NodeError("no signer passes its self-test")
    return ed25519_pure.SigningKey, reason


def _is_right(signer: "type[SigningKey]") -> bool:
    return signer(bytes(range(SEED_BYTES))).sign(bytes(120))[32:48] == _ANSWER


if not TYPE_CHECKING:
    SigningKey, slow_because = _choose()
