"""The demo's tag: an emulated NTAG 424 DNA that is written like any other, and tapped when the story is over."""

import secrets

from tallystick_chips import personalise
from tallystick_chips.personalise_desk import Desk
from tallystick_emulators import tag_signature
from tallystick_proof import statement
from tallystick_provisioning import nfc_open, secret_file
from tallystick_tags import key_provider, tag_context
from tallystick_tags.key_provider import DerivedKeys
from tallystick_tags.tag_job import Job
from tallystick_tools.demo_reader import DemoTag
from tallystick_tools.demo_world import World
from tallystick_tools.errors import DemoError

GTIN, SERIAL = "09506000134352", "L7-0001"  # the first box of the lot that the loan stands on
HOST = "item.tallystick.example"
ROW = 2  # below the names of the columns
_PASSPHRASE_BYTES = 16


def write(world: World) -> DemoTag:
    """Master key, job, tag and signed statement, each by the command that an installer uses."""
    tag = DemoTag(world.folder / "tag")
    world.tag = tag
    words = secrets.token_hex(_PASSPHRASE_BYTES)
    secret_file.write_new(tag.words, f"{words}\n")
    tag.maker.write_text(f"ntag424 {tag_signature.ORIGINALITY_PUBLIC_KEY_424.hex()}\n", "ascii")
    rows = tag.folder / "rows.csv"
    rows.write_text(f"GTIN,serial,name\n{GTIN},{SERIAL},冷冻虾仁 5kg\n", "utf-8")
    world.run("tag", "keys", "new", tag.master, "--secret-file", tag.words)
    world.run("tag", "job", "new", tag.job, "--from", rows, "--chip", "ntag424", "--host", HOST)
    world.run("tag", "write", tag.job, "--reader", tag.server.path, "--keys", tag.master, "--secret-file", tag.words,
              "--maker", tag.maker, "--installer", world.folder / "people" / "installer.key", "--trust", world.trust,
              "--ledger", world.url, "--unattended")  # fmt: skip
    with Job(tag.job) as job:
        master = key_provider.open_file(tag.master, words)
        tag.keys = DerivedKeys(master, job.head.key_set, job.head.key_version)
    return tag


def identity(world: World) -> str:
    """A sentence about the tag's statement in the ledger; DemoError when it is not there."""
    with Job(running(world).job) as job:
        item = job.of_row(ROW)
    if item.statement is None or item.uid is None:
        raise DemoError("the tag has no statement")
    identity = statement.parse(item.statement).identity.hex()
    if world.api("GET", f"/entries/{identity}")["index"] is None:
        raise DemoError("the tag's statement has no place in the ledger")
    named = f"tag {item.uid.hex().upper()} names {item.item.url(HOST)}"
    return f"{named}; the ledger has the installer's statement, without the UID"


def tap(world: World) -> str:
    """Read the tag as a phone does and check the chip's signature over this tap; DemoError when it does not hold."""
    tag = running(world)
    if tag.keys is None:
        raise DemoError("the tag's keys are not there")
    with Job(tag.job) as job:
        item, reader = job.of_row(ROW), nfc_open.open_reader(tag.server.path)
        try:
            journal, maker = tag_context.journal(job, None), tag_context.originality(tag.maker)
            desk = Desk(reader, tag.keys, journal, originality=maker)
            outcome = personalise.verify(desk, order=job.order(item))
        finally:
            reader.close()
    if not outcome.good or outcome.uid != tag.uid:
        raise DemoError(f"the tag's tap does not hold: {outcome.reason}")
    return f"tag tapped: genuine, serial {item.item.serial}, tap number {outcome.counter}; the chip made the link"


def running(world: World) -> DemoTag:
    if world.tag is None:
        raise DemoError("no tag was written")
    return world.tag
