"""The ledger's HTTP face. Handlers read a request, call one function, and write its answer."""

import asyncio
from typing import Any

from litestar import MediaType, Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery

from tallystick_ledger import publications, tree
from tallystick_ledger.admit import admit, index_of
from tallystick_ledger.context import Context
from tallystick_ledger.errors import KnownSize, Malformed, NotFound, TooSlow, Unsupported
from tallystick_ledger.evidence import reading_bundle, window_bundle
from tallystick_ledger.status import status
from tallystick_ledger.sync_door import MAX_BODY_BYTES, authorize, decode_body, receive
from tallystick_proof import tiles
from tallystick_proof.errors import MerkleError
from tallystick_proof.statement import MAX_STATEMENT_BYTES

AnyRequest = Request[Any, Any, Any]

COSE = "application/cose"
CBOR = "application/cbor"
NOTE = "text/plain"  # Litestar adds the charset
TREE_SIZE = "text/x.tlog.size"
OCTETS = "application/octet-stream"
ZIP = "application/zip"
# A full batch with everything decoded from it takes some 50 MB; who waits for a place waits with its body unread.
MAX_CONCURRENT_SYNCS = 8
BODY_TIMEOUT_S = 60.0  # 4 MiB over a slow mobile link; a body that drips slower only holds a connection
_CHECKPOINT_AGE = {"cache-control": "max-age=1"}  # a new one comes about once a second
_FOR_EVER = {"cache-control": "max-age=31536000, immutable"}


def routes(context: Context) -> list[BaseRouteHandler]:
    """Every handler of the ledger."""
    return [*_doors(context), *_log(context), *_evidence(context)]


async def read_body(request: AnyRequest) -> bytes:
    """The body, as far as the handler's request_max_body_size lets it come; TooSlow when it does not come."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None


def identity_of(text: str) -> bytes:
    """32 bytes from 64 lowercase hex digits; NotFound for anything else."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32 or value.hex() != text:
        raise NotFound("64 lowercase hex digits are expected")
    return value


def bundle_response(content: bytes, name: str) -> Response[bytes]:
    headers = {"content-disposition": f'attachment; filename="{name}.zip"'}
    return Response(content, media_type=ZIP, headers=headers)


def _doors(context: Context) -> list[BaseRouteHandler]:
    ledger = context.ledger
    places = asyncio.Semaphore(MAX_CONCURRENT_SYNCS)

    @post("/entries", status_code=201, request_max_body_size=MAX_STATEMENT_BYTES)
    async def post_entry(request: AnyRequest) -> dict[str, Any]:
        """Log a statement."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != COSE:
            raise Unsupported(f"statements are {COSE}")
        data = await read_body(request)
        identity, index = await sync_to_thread(admit, ledger, data)
        return {"identity": identity.hex(), "index": index}

    @get("/entries/{identity:str}", sync_to_thread=True)
    def get_entry(request: AnyRequest, identity: FromPath[str]) -> Response[Any]:
        """Where a statement stands; with the API token and `Accept: application/cose` the statement itself."""
        name = identity_of(identity)
        with ledger.db.read() as tx:
            found = index_of(tx, name)
            row = tx.one(
                "SELECT e.data FROM statement s JOIN entry e ON e.id = s.entry WHERE s.identity = ?", [name]
            )
        if found is None or row is None:
            raise NotFound("no such statement")
        if request.headers.get("accept", "") == COSE:
            context.require_api_token(request)
            return Response(row[0], media_type=COSE)
        return Response({"identity": identity, "index": found[0]}, media_type=MediaType.JSON)

    @post("/gateways/{thumbprint:str}/sync", status_code=200, request_max_body_size=MAX_BODY_BYTES)
    async def post_sync(
        request: AnyRequest,
        thumbprint: FromPath[str],
        cursor: FromQuery[int] = 0,
    ) -> Response[Any]:
        """Take a gateway's batch. The token is checked before the body is read."""
        gateway = await sync_to_thread(authorize, ledger, thumbprint, request.headers.get("authorization"))
        encoding = request.headers.get("content-encoding")
        try:
            async with places:
                body = await read_body(request)
                answer = await sync_to_thread(lambda: receive(ledger, gateway, decode_body(body, encoding), cursor))
        except KnownSize as known:
            # By header: a media type of text would get a charset, which the protocol does not name.
            return Response(f"{known.known_size}\n".encode(), status_code=409, headers={"content-type": TREE_SIZE})
        return Response(answer.encode(), media_type=CBOR)

    return [post_entry, get_entry, post_sync]


def _log(context: Context) -> list[BaseRouteHandler]:
    ledger = context.ledger

    @get("/checkpoint", sync_to_thread=True)
    def get_checkpoint() -> Response[bytes]:
        """The newest published checkpoint (C2SP tlog-tiles)."""
        with ledger.db.read() as tx:
            published = publications.latest(tx)
        if published is None:
            raise NotFound("nothing is published yet")
        return Response(published.note, media_type=NOTE, headers=_CHECKPOINT_AGE)

    @get("/tile/{rest:path}", sync_to_thread=True)
    def get_tile(rest: FromPath[str]) -> Response[bytes]:
        """A hash tile (C2SP tlog-tiles). Entries are not public."""
        try:
            level, number, width = tiles.parse_tile_path("tile/" + str(rest).lstrip("/"))
        except MerkleError:
            raise NotFound("no such tile") from None
        with ledger.db.read() as tx:
            hashes = tree.tile(tx, level, number, width)
        return Response(hashes, media_type=OCTETS, headers=_FOR_EVER)

    @get("/status", sync_to_thread=True)
    def get_status(request: AnyRequest) -> dict[str, Any]:
        """Sizes, nodes, gateways."""
        context.require_api_token(request)
        return status(ledger)

    return [get_checkpoint, get_tile, get_status]


def _evidence(context: Context) -> list[BaseRouteHandler]:
    ledger = context.ledger

    @get("/evidence/readings/{thumbprint:str}/{seq:int}", sync_to_thread=True)
    def get_reading(request: AnyRequest, thumbprint: FromPath[str], seq: FromPath[int]) -> Response[bytes]:
        """The bundle of one reading."""
        context.require_api_token(request)
        content = reading_bundle(ledger, identity_of(thumbprint), _number(seq))
        return bundle_response(content, f"reading-{thumbprint[:16]}-{seq}")

    @get("/evidence/readings/{thumbprint:str}", sync_to_thread=True)
    def get_window(
        request: AnyRequest, thumbprint: FromPath[str], first: FromQuery[int], last: FromQuery[int]
    ) -> Response[bytes]:
        """The bundle of a window of readings."""
        context.require_api_token(request)
        content = window_bundle(ledger, identity_of(thumbprint), _number(first), _number(last))
        return bundle_response(content, f"window-{thumbprint[:16]}-{first}-{last}")

    return [get_reading, get_window]


def _number(value: int) -> int:
    """A sequence number; Malformed for one that no column holds."""
    if not 1 <= value < 1 << 32:
        raise Malformed("sequence numbers are 1 to 2^32 - 1")
    return value
