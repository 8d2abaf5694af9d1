"""Where tag keys come from: a master that does not show itself, and sealed jobs that lead nowhere else."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tag_support import MASTER, head, keys, uid

from tallystick_chips import aes, an10922
from tallystick_chips.tag_order import META_KEY, PASSWORD_KEY
from tallystick_proof import keys as proof_keys
from tallystick_proof import statement
from tallystick_proof.keys import Signer
from tallystick_provisioning import secret_file
from tallystick_provisioning.errors import KeyFileError
from tallystick_tags import job_bundle, job_delegation, key_pkcs11, key_provider, passphrase, tag_uids
from tallystick_tags.errors import KeysError, TableError
from tallystick_tags.job_bundle import SealedJob
from tallystick_tags.key_provider import DerivedKeys, FileMaster
from tallystick_tags.passphrase import Lock
from tallystick_tags.tag_job import JobHead
from tallystick_wire import cbor

WORDS = "correct horse battery"
NUMBERS = (0, 1, 2, 3, 4, PASSWORD_KEY)
AUTHORITY = Signer("authority-installer", bytes(range(32)))
NOW_MS = 1_700_000_000_000
ORIGIN = "ledger.example/log"


class FakeTrust:
    """As much of a trust.toml as a delegation is checked with."""

    origin = ORIGIN

    def authority_keys(self, kind: str) -> list[tuple[None, bytes]]:
        return [(None, AUTHORITY.public_key)] if kind == "installer" else []


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least cost that is accepted: these tests are not about guessing passphrases."""
    monkeypatch.setattr(passphrase, "COST_LOG2", passphrase.MIN_COST_LOG2)


def cheap_lock() -> Lock:
    return Lock(WORDS, bytes(16), passphrase.MIN_COST_LOG2)


def sealed(folder: Path, count: int = 3, **changes: Any) -> Path:
    path = folder / "job.tally"
    fields = {"aud": ORIGIN, "jti": bytes(16), "exp": NOW_MS + 1, "installer": None, **changes}
    job_bundle.seal(path, head(), [uid(n) for n in range(count)], keys(), cheap_lock(), AUTHORITY, fields)
    return path


# --- diversified keys


def test_a_key_is_an10922_of_uid_application_and_key_set() -> None:
    provider = keys()
    system = key_provider.system_id("2026-07", 1)
    for number in (0, 2, 3, 4, PASSWORD_KEY):
        diversified = an10922.tag_input(uid(7), system, number)
        assert provider.key(uid(7), number) == an10922.diversify(MASTER, diversified)
        assert provider.key(uid(7), number) == aes.cmac(MASTER, b"\1" + diversified)


def test_every_key_is_another_except_the_one_that_reads_links() -> None:
    found = {(n, number): keys().key(uid(n), number) for n in range(3) for number in NUMBERS if number != META_KEY}
    assert len(set(found.values())) == len(found)
    assert keys().key(uid(1), META_KEY) == keys().key(uid(2), META_KEY)
    assert keys(2).key(uid(1), META_KEY) != keys(1).key(uid(1), META_KEY)
    assert DerivedKeys(FileMaster(MASTER), "other", 1).key(uid(1), META_KEY) != keys().key(uid(1), META_KEY)


def test_a_master_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key_provider.create_file(path, WORDS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_provider.open_file(path, WORDS).cmac(b"x") == key_provider.open_file(path, WORDS).cmac(b"x")
    with pytest.raises(KeysError, match=r"master\.key: wrong passphrase, or the file was altered"):
        key_provider.open_file(path, WORDS + "!")
    with pytest.raises(KeyFileError, match="exists already"):
        key_provider.create_file(path, WORDS)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="lets others read a secret"):
        key_provider.open_file(path, WORDS)


def test_the_master_is_not_in_its_file(tmp_path: Path) -> None:
    key_provider.create_file(tmp_path / "m", WORDS)
    secret = key_provider.open_file(tmp_path / "m", WORDS)._key
    assert len(secret) == 16
    assert secret.hex() not in (tmp_path / "m").read_text()


@pytest.mark.parametrize(
    "text",
    ["", "tallystick-master-v1", "tallystick-master-v1 zz", "other 80", "tallystick-master-v1 83010203"],
)
def test_other_files_are_no_masters(tmp_path: Path, text: str) -> None:
    secret_file.write_new(tmp_path / "m", text)
    with pytest.raises(KeysError, match="no master key file of this program"):
        key_provider.open_file(tmp_path / "m", WORDS)


def test_a_file_cannot_ask_for_more_memory_than_we_write(tmp_path: Path) -> None:
    for cost in (passphrase.MIN_COST_LOG2 - 1, passphrase.MAX_COST_LOG2 + 1, 60):
        body = cbor.encode([bytes(16), cost, bytes(44)])
        secret_file.write_new(tmp_path / f"m{cost}", f"{key_provider.MASTER_HEAD} {body.hex()}\n")
        with pytest.raises(KeysError, match="the cost of its passphrase is not one that this program writes"):
            key_provider.open_file(tmp_path / f"m{cost}", WORDS)


def test_short_passphrases_and_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="at least 8 characters"):
        passphrase.new_lock("1234567")
    secret_file.write_new(tmp_path / "words", f"{WORDS}\n")
    assert passphrase.ask("passphrase", tmp_path / "words") == WORDS
    with pytest.raises(KeysError, match="PIN: give --secret-file, because nobody can be asked here"):
        passphrase.ask("PIN", None)


# --- PKCS#11 addresses


def test_an_address_of_a_token() -> None:
    uri = "pkcs11:token=my%20token;object=master?module-path=/usr/lib/x.so"
    assert key_pkcs11.parse(uri) == key_pkcs11.Address("my token", "master", "/usr/lib/x.so")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pkcs11:object=m?module-path=/x", "token is missing"),
        ("pkcs11:token=t?module-path=/x", "object is missing"),
        ("pkcs11:token=t;object=m", "module-path is missing"),
        ("pkcs11:token=t;object=m;slot=1?module-path=/x", "slot is not understood"),
        ("pkcs11:token=t;object=m?module-path=/x&pin-value=1234", "a PIN does not belong in an address"),
    ],
)
def test_other_addresses(uri: str, message: str) -> None:
    with pytest.raises(KeysError, match=message):
        key_pkcs11.parse(uri)


# --- sealed jobs


def test_a_sealed_job_gives_the_keys_of_its_tags(tmp_path: Path) -> None:
    opened = SealedJob(sealed(tmp_path), WORDS, head())
    assert (tmp_path / "job.tally").stat().st_mode & 0o777 == 0o600
    assert {(n, i): opened.key(uid(n), i) for n in range(3) for i in NUMBERS} == {
        (n, i): keys().key(uid(n), i) for n in range(3) for i in NUMBERS
    }
    assert opened.version == 1


def test_a_stolen_job_derives_nothing_outside_its_job(tmp_path: Path) -> None:
    """Whoever has the file and its passphrase has these tags' keys: no master, no other tag's, no other job's."""
    path = sealed(tmp_path)
    opened = SealedJob(path, WORDS, head())
    with pytest.raises(KeysError, match=r"tag 04000000000003 is not in job\.tally"):
        opened.key(uid(3), 0)
    lock, contents = cheap_lock(), job_bundle.read(path)
    context = b"tallystick/tag-job/v1\0" + bytes.fromhex(head().id)
    plain = b"".join(lock.open(data or b"", context) for _, data in contents.entries)
    for secret in (MASTER, keys().key(uid(3), 0), keys(2).key(uid(1), META_KEY)):
        assert secret not in plain
        assert secret not in path.read_bytes()
    other_set = DerivedKeys(FileMaster(MASTER), "another job", 1)
    assert other_set.key(uid(1), META_KEY) not in plain
    assert keys().key(uid(1), 0) in plain  # the search above finds what is there


def test_keys_lie_sealed(tmp_path: Path) -> None:
    data = sealed(tmp_path).read_bytes()
    assert not [n for n in range(3) for i in NUMBERS if keys().key(uid(n), i) in data]
    with pytest.raises(KeysError, match="wrong passphrase"):
        SealedJob(tmp_path / "job.tally", "another one", head())


def test_keys_of_finished_tags_are_gone_from_disk(tmp_path: Path) -> None:
    path = sealed(tmp_path)
    entries = job_bundle.read(path).entries
    old = path.open("rb")  # what somebody sees who undeletes the file
    try:
        opened = SealedJob(path, WORDS, head())
        opened.finished(uid(1))
        kept = SealedJob(path, WORDS, head())
        assert kept.uids == (uid(0), uid(2))
        for broken in (opened, kept):
            with pytest.raises(KeysError, match="finished and its keys are erased"):
                broken.key(uid(1), 0)
        for data in (path.read_bytes(), old.read()):
            assert (entries[2][1] or b"") not in data
        assert sorted(tmp_path.iterdir()) == [tmp_path / ".job.tally.lock", path]
        job_delegation.check(kept, FakeTrust(), None, NOW_MS)  # type: ignore[arg-type]
    finally:
        old.close()
    for n in (0, 2, 2):
        kept.finished(uid(n))
    assert [data for _, data in job_bundle.read(path).entries] == [None] * 4
    with pytest.raises(KeysError):
        SealedJob(path, WORDS, head()).key(uid(0), META_KEY)


def test_two_programs_with_one_sealed_job_bring_no_key_back(tmp_path: Path) -> None:
    path = sealed(tmp_path)
    one, other = SealedJob(path, WORDS, head()), SealedJob(path, WORDS, head())
    one.finished(uid(0))
    other.finished(uid(1))
    assert list(SealedJob(path, WORDS, head()).uids) == [uid(2)]
    one.finished(uid(2))
    assert [data for _, data in job_bundle.read(path).entries] == [None] * 4


def test_a_cut_off_rewrite_leaves_the_job_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sealed(tmp_path)
    opened = SealedJob(path, WORDS, head())

    def cut(source: Path, target: Path) -> None:
        raise OSError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(OSError, match="cut"):
            opened.finished(uid(0))
    assert SealedJob(path, WORDS, head()).uids == (uid(0), uid(1), uid(2))
    SealedJob(path, WORDS, head()).finished(uid(0))
    assert SealedJob(path, WORDS, head()).uids == (uid(1), uid(2))


@pytest.mark.parametrize("at", range(0, 600, 37))
def test_an_altered_job_is_refused(tmp_path: Path, at: int) -> None:
    path = sealed(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(data)
    with pytest.raises(KeysError, match=r"job\.tally: "):
        job_delegation.check(SealedJob(path, WORDS, head()), FakeTrust(), None, NOW_MS)  # type: ignore[arg-type]


def test_a_forged_delegation(tmp_path: Path) -> None:
    """Everything as the authority would have written it, but not its signature."""
    path = sealed(tmp_path)
    contents = job_bundle.read(path)
    forged = contents.statement[:-1] + bytes([contents.statement[-1] ^ 1])
    path.write_bytes(job_bundle.Contents(forged, contents.salt, contents.cost_log2, contents.entries).to_bytes())
    with pytest.raises(KeysError, match="the signature of the tag-job does not hold"):
        job_delegation.check(SealedJob(path, WORDS, head()), FakeTrust(), None, NOW_MS)  # type: ignore[arg-type]


def test_an_entry_of_another_job_is_refused(tmp_path: Path) -> None:
    """The same passphrase, all hashes right: the signed list of hashes and the context of the sealing do not fit."""
    path = sealed(tmp_path)
    contents = job_bundle.read(path)
    foreign = cheap_lock().seal(cbor.encode([uid(9), [bytes(16)] * 5]), b"tallystick/tag-job/v1\0" + bytes(16))
    entries = (*contents.entries[:3], (hashlib.sha256(foreign).digest(), foreign))
    path.write_bytes(job_bundle.Contents(contents.statement, contents.salt, contents.cost_log2, entries).to_bytes())
    with pytest.raises(KeysError, match="wrong passphrase, or the file was altered"):
        SealedJob(path, WORDS, head())


DELEGATIONS: list[tuple[dict[str, Any], str]] = [
    ({"aud": "other.example/log"}, "is for the ledger other.example/log"),
    ({"exp": NOW_MS - 1}, "its time is over: ask for a new one"),
    ({"installer": bytes(31) + b"\1"}, "was given to another installer"),
]


@pytest.mark.parametrize(("changes", "message"), DELEGATIONS, ids=["ledger", "time", "installer"])
def test_a_delegation_that_does_not_hold(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    opened = SealedJob(sealed(tmp_path, **changes), WORDS, head())
    with pytest.raises(KeysError, match=message):
        job_delegation.check(opened, FakeTrust(), bytes(32), NOW_MS)  # type: ignore[arg-type]


def test_a_delegation_of_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = SealedJob(sealed(tmp_path, installer=bytes(32)), WORDS, head())
    job_delegation.check(opened, FakeTrust(), bytes(32), NOW_MS)  # type: ignore[arg-type]
    monkeypatch.setattr(FakeTrust, "authority_keys", lambda self, kind: [])
    with pytest.raises(KeysError, match=r"is not signed by an installer authority that trust\.toml names"):
        job_delegation.check(opened, FakeTrust(), bytes(32), NOW_MS)  # type: ignore[arg-type]


def test_entries_that_were_not_signed(tmp_path: Path) -> None:
    """Somebody who knows the passphrase adds a tag: its hash is not in what the authority signed."""
    path = sealed(tmp_path)
    contents = job_bundle.read(path)
    context = b"tallystick/tag-job/v1\0" + bytes.fromhex(head().id)
    more = cheap_lock().seal(cbor.encode([uid(9), [bytes(16)] * 5]), context)
    entries = (*contents.entries, (hashlib.sha256(more).digest(), more))
    path.write_bytes(job_bundle.Contents(contents.statement, contents.salt, contents.cost_log2, entries).to_bytes())
    with pytest.raises(KeysError, match="its entries are not those that were signed"):
        job_delegation.check(SealedJob(path, WORDS, head()), FakeTrust(), None, NOW_MS)  # type: ignore[arg-type]


def test_the_job_of_another_database(tmp_path: Path) -> None:
    path = sealed(tmp_path)
    other = JobHead("00" * 16, "ntag424", "item.example", "k", 1, True, 1)
    with pytest.raises(KeysError, match="holds the keys of another job"):
        SealedJob(path, WORDS, other)


def test_what_a_sealed_job_cannot_be_made_of(tmp_path: Path) -> None:
    fields = {"aud": ORIGIN, "jti": bytes(16), "exp": None, "installer": None}
    for uids in ([], [uid(1), uid(1)]):
        with pytest.raises(KeysError, match="one or more, and none of them twice"):
            job_bundle.seal(tmp_path / "j", head(), uids, keys(), cheap_lock(), AUTHORITY, fields)
    path = sealed(tmp_path)
    with pytest.raises(KeysError, match="never overwritten"):
        job_bundle.seal(path, head(), [uid(1)], keys(), cheap_lock(), AUTHORITY, fields)
    with pytest.raises(KeysError, match="no sealed job of this program"):
        job_bundle.read(Path(__file__))


def test_a_delegation_is_no_matter_for_the_ledger(tmp_path: Path) -> None:
    """Its key is an authority's, which is never enrolled: no ledger takes it as a statement."""
    signed = statement.parse(job_bundle.read(sealed(tmp_path)).statement)
    assert signed.kind == proof_keys.TAG_JOB
    assert proof_keys.roles_that_sign(proof_keys.TAG_JOB) == ("authority-installer",)
    assert "installer" in proof_keys.ENROLLED_KINDS
    assert not [kind for kind in proof_keys.ENROLLED_KINDS if kind.startswith("authority")]


def test_two_hundred_tags(tmp_path: Path) -> None:
    path = sealed(tmp_path, 200)
    opened = SealedJob(path, WORDS, head())
    assert len(opened.uids) == 200
    assert opened.delegation.body["count"] == 200


# --- lists of UIDs


def test_uids_as_suppliers_write_them(tmp_path: Path) -> None:
    path = tmp_path / "uids.csv"
    path.write_text('\ufeffNo;UID;Date\n1;04:00:00:00:00:00:01;x\n2;"04 00 00 00 00 00 02";y\n\n3;04000000000003;z\n')
    assert tag_uids.read(path) == [uid(1), uid(2), uid(3)]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8-sig"])
def test_a_list_of_uids_from_a_chinese_excel(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "uids.csv"
    path.write_bytes(f"序号,芯片编号\r\n一,{uid(1).hex()}\r\n二,{uid(2).hex()}\r\n".encode(encoding))
    assert tag_uids.read(path) == [uid(1), uid(2)]


def test_wrong_lists_of_uids(tmp_path: Path) -> None:
    path = tmp_path / "uids.csv"
    path.write_text("UID\n04000000000001\n0400000000\n04000000000001\n04000000000001,04000000000002\n")
    with pytest.raises(TableError) as caught:
        tag_uids.read(path)
    assert str(caught.value).splitlines()[1:] == [
        "row 3: 0 UIDs of 7 bytes; each line has one",
        "row 4: the same UID as row 2",
        "row 5: 2 UIDs of 7 bytes; each line has one",
    ]
    with pytest.raises(TableError, match="1 UIDs for 2 items"):
        tag_uids.check_count([uid(1)], 2)
