"""What the node does with a message from outside. Whatever is not exactly right changes nothing and is counted."""

from tallystick_node.errors import StorageError
from tallystick_node.state import Config
from tallystick_wire import message
from tallystick_wire.errors import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.node import Node


def answer(node: "Node", data: bytes, now_ms: int) -> "bytes | None":
    """Act on one message; the bytes to send back, if any. No message makes it raise."""
    try:
        handler = _HANDLERS.get(message.kind(data))
        if handler is None:  # a message that nodes send
            node.count("unexpected")
            return None
        return handler(node, data, now_ms)
    except WireError:
        node.count("bad_messages")
    except StorageError:
        node.count("flash_refused")
    return None


def _hello(node: "Node", data: bytes, now_ms: int) -> bytes:
    known = node.config is not None
    return message.build_node(
        message.STATE_ENROLLED if known else message.STATE_NEW,
        node.key.public_key,
        node.config.origin if node.config is not None else None,
        node.board.firmware_hash,
    )


def _enrol(node: "Node", data: bytes, now_ms: int) -> bytes:
    origin, pen, nonce = message.open_enrol(data)
    if _in_another_log(node, origin, pen):
        return _refuse(node, "this node belongs to another log already")
    jti = node.board.random_bytes(message.JTI_BYTES)
    return message.enrol_request(node.kid, node.key.public_key, "node", origin, nonce, jti, node.key.sign)


def _link(node: "Node", data: bytes, now_ms: int) -> bytes:
    link = message.open_link(data)
    known = node.config
    if _in_another_log(node, link.origin, link.pen):
        return _refuse(node, "this node belongs to another log already")
    if known is None:
        node.enrol(Config(link.origin, link.pen, link.key, link.downlink_key, link.firmware_key))
        # A crash before the answer: the node is enrolled, and says so when it is asked again.
    elif known.link_key != link.key:
        # Whoever could give the node a key of his own could ack away what no gateway holds.
        return _refuse(node, "this node has another link key already")
    elif (known.downlink_key, known.firmware_key) != (link.downlink_key, link.firmware_key):
        # Nor later, when it has none: a gateway holds the link key, and it is not for gateways to say what a node runs.
        return _refuse(node, "this node has other keys for updates, or none")
    return message.build_linked(node.kid)


def _in_another_log(node: "Node", origin: str, pen: int) -> bool:
    """One key lives in one log: else its readings could be replayed from one into the other."""
    known = node.config
    return known is not None and (known.origin != origin or known.pen != pen)


def _refuse(node: "Node", reason: str) -> bytes:
    node.count("enrolments_refused")
    return message.build_refused(reason)


def _identify(node: "Node", data: bytes, now_ms: int) -> None:
    node.count("identify")
    node.board.identify()


def _ack(node: "Node", data: bytes, now_ms: int) -> None:
    """Only what is durable at the gateway is forgotten, and nobody can have more than was signed."""
    if node.config is None or node.chain is None:
        node.count("acks_refused")
        return
    try:
        ack = message.open_ack(node.config.link_key, data)
    except WireError:
        node.count("acks_refused")
        return
    if ack.kid != node.kid or ack.boot > node.boot or ack.high > node.chain.reserve.highest:
        node.count("acks_refused")
        return
    node.forget(ack, now_ms)


def _anchor(node: "Node", data: bytes, now_ms: int) -> None:
    if node.config is None or node.chain is None:
        node.count("anchors_refused")
        return
    try:
        size, hash16 = message.open_anchor(node.config.link_key, data)
    except WireError:
        node.count("anchors_refused")
        return
    node.count("anchors" if node.chain.accept_anchor(size, hash16, now_ms) else "anchors_old")


def _offer(node: "Node", data: bytes, now_ms: int) -> "bytes | None":
    """A configuration or firmware, from a host that shares the link key; who made it, its signature says."""
    if node.config is None:
        node.count("offers_refused")
        return None
    return node.updates.offer(node.config, data)


def _chunk(node: "Node", data: bytes, now_ms: int) -> "bytes | None":
    return node.updates.chunk(data)


_HANDLERS = {
    "hello": _hello,
    "enrol": _enrol,
    "link": _link,
    "identify": _identify,
    "ack": _ack,
    "anchor": _anchor,
    "offer": _offer,
    "chunk": _chunk,
}
