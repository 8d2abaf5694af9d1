"""Finished tags become statements in a real ledger: each exactly once."""

from typing import Any

import pytest
from http_ledger import HttpLedger
from tag_desk import Desk
from tag_support import blank

from tallystick_ledger.facts import START, facts
from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_provisioning import tag_statement
from tallystick_provisioning.errors import LedgerRefused
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_tools.tag_field import Field


def test_statements_reach_the_ledger_once(
    desk: Desk, field: Field, link: str, installer_ledger: HttpLedger, installer_world: Any
) -> None:
    """Offline first, then sent, then sent again by a laptop that forgot that it had sent them."""
    desk.new_job(2, "ntag215")
    master = desk.new_master()
    away = "http://127.0.0.1:9"
    code, lines = desk.write(
        field, link, [blank("ntag215", 0), blank("ntag215", 1)], master, *desk.signs(), "--ledger", away
    )
    assert code == 0, lines
    assert "2 wait" in "\n".join(lines)
    waiting = [path.read_bytes() for path in desk.path("job.outbox").glob("*.cose")]
    send = ["tag", "sync", desk.path("job"), *desk.signs(), "--ledger", installer_ledger.url]
    assert "2 more statements" in desk.run(*send)
    installer_ledger.settle()
    for data in waiting:
        (desk.path("job.outbox") / f"{statement.parse(data).identity.hex()}.cose").write_bytes(data)
    desk.run(*send)
    installer_ledger.settle()
    found = [statement.parse(one.data) for one in facts(installer_ledger.ledger, START, 1000) if one.kind == "tag"]
    assert len(found) == 2
    told = {item["serial"]: item for item in desk.report()["items"]}
    for one in found:
        item = told[one.body["item"].rpartition("/")[2]]
        assert one.body["uid"] == tag_statement.commitment(bytes.fromhex(item["salt"]), bytes.fromhex(item["uid"]))
        assert one.kid == installer_world.signers["installer"].kid


def test_a_delegation_never_gets_into_the_ledger(installer_ledger: HttpLedger, installer_world: Any) -> None:
    """A tag-job is signed by an authority, whose key is nobody's enrolled key."""
    body = {
        "aud": installer_world.origin, "jti": bytes(16), "exp": None, "installer": None, "job": bytes(16),
        "key_set": "k", "key_version": 1, "count": 1, "sealed": bytes(32),
    }  # fmt: skip
    data = statement.build(installer_world.signers["authority-installer"], proof_keys.TAG_JOB, body)
    with pytest.raises(LedgerRefused):
        LedgerClient(installer_ledger.url).post(data)
