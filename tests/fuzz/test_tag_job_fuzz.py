"""What people and thieves hand to a tag job: tables, labels, sealed jobs, key files. Only our own errors come out."""

import contextlib
import io
import tempfile
from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tag_support import GTIN, head, keys, uid

from tallystick_proof.keys import Signer
from tallystick_provisioning import item, label_text
from tallystick_provisioning.errors import ProvisioningError
from tallystick_tags import job_bundle, key_provider, passphrase, tag_rows, tag_table, tag_uids
from tallystick_tags.job_bundle import SealedJob
from tallystick_tags.passphrase import Lock

EXAMPLES = 150


def workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in (["GTIN", "serial", "name"], [GTIN, "A", "虾"], [9506000134352, 7, None]):
        book.active.append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def sealed_job() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        lock = Lock("correct horse", bytes(16), passphrase.MIN_COST_LOG2)
        fields = {"aud": "ledger.example/log", "jti": bytes(16), "exp": None, "installer": None}
        authority = Signer("authority-installer", bytes(32))
        job_bundle.seal(Path(folder) / "j", head(), [uid(1)], keys(), lock, authority, fields)
        return (Path(folder) / "j").read_bytes()


TABLES = {
    "csv": f"GTIN,serial,name\n{GTIN},A,虾\n{GTIN},B,\n".encode(),
    "gb18030": f"商品条码;序列号;品名\n{GTIN};A;虾\n".encode("gb18030"),
    "xlsx": workbook(),
}


def altered(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    return bytes(changed[: len(changed) - cut % len(changed)])


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8)
CUTS = st.one_of(st.just(0), st.integers(0, 4000))


def read_table(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        path.write_bytes(data)
        with contextlib.suppress(ProvisioningError):
            for planned in tag_rows.check(tag_table.read(path), lambda one: None).planned:
                assert item.item(planned.item.gtin, planned.item.serial) == planned.item


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(changes=CHANGES, cut=CUTS)
def test_altered_tables(name: str, changes: list[tuple[int, int]], cut: int) -> None:
    read_table(altered(TABLES[name], changes, cut))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_table_or_a_list_of_uids(data: bytes) -> None:
    read_table(data)
    read_table(b"GTIN,serial\n" + data)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "uids").write_bytes(data)
        with contextlib.suppress(ProvisioningError):
            assert all(len(one) == 7 for one in tag_uids.read(Path(folder) / "uids"))


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["", "01" + GTIN + "21", "https://item.example/01/" + GTIN + "/21/"]))
def test_any_text_as_a_label(text: str, begin: str) -> None:
    with contextlib.suppress(ProvisioningError):
        found = label_text.parse(begin + text)
        assert label_text.parse(found.url("item.example")) == found
        assert label_text.parse(label_text.element_string(found)) == found


@settings(max_examples=EXAMPLES, deadline=None)
@given(changes=CHANGES, cut=CUTS, data=st.binary(max_size=200))
def test_altered_sealed_jobs_and_key_files(changes: list[tuple[int, int]], cut: int, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        for one in (altered(SEALED, changes, cut), data, SEALED[:20] + data):
            path.write_bytes(one)
            path.chmod(0o600)
            with contextlib.suppress(ProvisioningError):
                job_bundle.read(path)
            with contextlib.suppress(ProvisioningError):
                key_provider.open_file(path, "correct horse")


@settings(max_examples=8, deadline=None)
@given(changes=CHANGES, cut=st.just(0))
def test_altered_sealed_jobs_never_give_another_key(changes: list[tuple[int, int]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        path.write_bytes(altered(SEALED, changes, cut))
        with contextlib.suppress(ProvisioningError):
            opened = SealedJob(path, "correct horse", head())
            assert [opened.key(one, 0) for one in opened.uids] == [keys().key(uid(1), 0)]


SEALED = sealed_job()
