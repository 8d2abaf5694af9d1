"""trust.py: what a verifier is given, strictly read."""

import random

import pytest

from tallystick_proof import keys
from tallystick_proof.errors import TrustError
from tallystick_proof.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey
from tallystick_proof.trust import Trust

CHANCE = random.Random(1)  # the same keys in every process: their hex stands in test ids

ORIGIN = "ledger.example/log"
LOG = VerifierKey(ORIGIN, TYPE_ED25519, keys.generate(keys.LEDGER, CHANCE.randbytes).public_key)
WITNESS = VerifierKey("w.example", TYPE_COSIGNATURE, keys.generate(keys.WITNESS, CHANCE.randbytes).public_key)
KEY = keys.generate("authority-node", CHANCE.randbytes).public_key.hex()
OTHER = keys.generate("authority-gateway", CHANCE.randbytes).public_key.hex()
TEXT = f'''
# given to verifiers by hand
version = 1
origin = "{ORIGIN}"
pen = 32473
max_head_age_s = 86400
policy = """
# "two" of \\\\ one
log {LOG.vkey}
witness w {WITNESS.vkey}
quorum w
"""

[[authority]]
kind = "node"
keys = ["{KEY}"]
threshold = 1
not_before_ms = 5
not_after_ms = 6

[[authority]]
kind = "gateway"
keys = ["{OTHER}"]
threshold = 1
'''


def test_round_trip() -> None:
    trust = Trust.parse(TEXT)
    assert (trust.origin, trust.pen, trust.max_head_age_s) == (ORIGIN, 32473, 86400)
    assert [authority.kind for authority in trust.authorities] == ["node", "gateway"]
    assert trust.policy.quorum == "w"
    assert Trust.parse(trust.format()) == trust
    assert Trust.parse(trust.format()).format() == trust.format()
    assert [key.hex() for _, key in trust.authority_keys("node")] == [KEY]
    assert trust.authority_keys("installer") == []
    assert trust.authorities[0].role == "authority-node"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 2", "version must be 1"),
        ("version = 1\n", "", "version is missing"),
        ("version = 1", "version = true", "version must be an integer"),
        ("version = 1", "version = 1\nmax_age = 3", "'max_age' is no known key"),
        ("threshold = 1\nnot", "threshhold = 1\nnot", "authority 'threshhold' is no known key"),
        ("threshold = 1\nnot", "threshold = 2\nnot", "thresholds above 1 are not supported yet"),
        ("threshold = 1\nnot", "threshold = 0\nnot", "threshold must be an integer from 1"),
        ("threshold = 1\nnot", "not", "authority threshold is missing"),
        ("not_after_ms = 6", "not_after_ms = 4", "not_before_ms must not be after"),
        ("pen = 32473", "pen = 4294967296", "pen must be"),
        ("pen = 32473", "pen = -1", "pen must be"),
        ("max_head_age_s = 86400", "max_head_age_s = 0", "max_head_age_s must be"),
        (f'origin = "{ORIGIN}"', 'origin = "https://ledger.example"', "scheme"),
        (f'origin = "{ORIGIN}"', "origin = 5", "origin must be text"),
        (f'origin = "{ORIGIN}"', 'origin = "other.example"', "no log line for 'other.example'"),
        ('kind = "node"', 'kind = "king"', "authority kind must be one of"),
        (KEY, OTHER, "one key has one role"),
        (KEY, LOG.public_key.hex(), "one key has one role"),
        (KEY, WITNESS.public_key.hex(), "one key has one role"),
        (KEY, KEY.upper(), "authority keys"),
        (KEY, KEY[:-2], "32 bytes"),
        (KEY, "01" + "00" * 31, "small order"),
        (f'keys = ["{KEY}"]', "keys = []", "authority keys must be 1 to 16"),
        (f'keys = ["{KEY}"]', "keys = [5]", "32 bytes"),
        ("quorum w\n", "", "policy: a policy has exactly one quorum"),
        ("[[authority]]", "[authority]", "not TOML"),
        ("pen = 32473", "pen = ", "not TOML"),
    ],
)
def test_other_texts_are_refused(old: str, new: str, message: str) -> None:
    spoilt = TEXT.replace(old, new)
    assert spoilt != TEXT
    with pytest.raises(TrustError, match=message):
        Trust.parse(spoilt)


def test_authorities_must_be_there() -> None:
    head = TEXT.partition("[[authority]]")[0]
    with pytest.raises(TrustError, match="authority is missing"):
        Trust.parse(head)
    with pytest.raises(TrustError, match="one or more"):
        Trust.parse(head + "[authority]\n")
    with pytest.raises(TrustError, match="at most 262144"):
        Trust.parse(TEXT + "#" * 262144)
