"""The master key on a PKCS#11 token: SoftHSM2, real commands, emulated tags."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tag_desk import PIN, Desk
from tag_support import blank, uid

from tallystick_emulators.tag_field import Field
from tallystick_tags import job_bundle, key_pkcs11
from tallystick_tags.errors import KeysError
from tallystick_tags.key_pkcs11 import Pkcs11Master

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


# --- SoftHSM2


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A PKCS#11 token in a temporary folder. A process loads the library with one configuration, once."""
    assert shutil.which("softhsm2-util")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm.conf").write_text(configuration)
    words = ["softhsm2-util", "--init-token", "--free", "--label", "tally", "--so-pin", "0000", "--pin", PIN]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm.conf"))
        subprocess.run(words, check=True, capture_output=True)
        yield folder


@pytest.fixture
def token(tokens: Path, request: pytest.FixtureRequest) -> str:
    """The URI of a key of this test's own, which is not made yet."""
    return f"pkcs11:token=tally;object={request.node.name}?module-path={MODULE}"


def test_softhsm_end_to_end(
    desk: Desk, field: Field, link: str, token: str, installer_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key made on the token, job sealed from it, tags written with the sealed job alone, keys gone afterwards."""
    pin, words = desk.path("pin"), desk.path("words")
    new = ["tag", "keys", "new", token, "--secret-file", pin]
    assert "would make" in desk.run(*new, "--dry-run")
    assert "cannot be taken out" in desk.run(*new)
    assert "never overwritten" in desk.refused(*new, "--dry-run")
    assert "never overwritten" in desk.refused(*new)
    desk.new_job(2, "ntag424", "--no-lock")
    desk.path("uids.csv").write_text("UID\n" + "".join(f"{uid(n).hex()}\n" for n in range(3)))
    seal = [
        "tag", "job", "seal", desk.path("job"), "--uids", desk.path("uids.csv"), "--keys", token, "--secret-file", pin,
        "--authority", desk.path("authority.key"), "--trust", desk.path("trust.toml"), "--out", desk.path("job.tally"),
        "--out-secret-file", words, "--installer", installer_world.signers["installer"].thumbprint.hex(),
    ]  # fmt: skip
    assert "would seal the keys of 3 tags" in desk.run(*seal, "--dry-run")
    assert not desk.path("job.tally").exists()
    desk.run(*seal)
    assert "never overwritten" in desk.refused(*seal, "--dry-run")

    monkeypatch.delenv("SOFTHSM2_CONF")  # the laptop has no token
    tags = [blank("ntag424", 7), blank("ntag424", 0), blank("ntag424", 1)]
    code, lines = desk.write(field, link, tags, desk.path("job.tally"), *desk.signs())
    assert code == 0, lines
    assert sum("no-keys" in line for line in lines if line.startswith("WRONG")) == 1
    left = [data is not None for _, data in job_bundle.read(desk.path("job.tally")).entries]
    assert left == [True, False, False, True]


def test_the_master_key_never_leaves_the_token(desk: Desk, token: str, tmp_path: Path) -> None:
    key_pkcs11.create(token, PIN)
    master = Pkcs11Master(token, PIN)
    from pkcs11 import Attribute
    from pkcs11.exceptions import PKCS11Error

    assert master.cmac(b"x") != master.cmac(b"y")
    with pytest.raises(PKCS11Error):
        _ = master._key[Attribute.VALUE]
    assert master._key[Attribute.EXTRACTABLE] is False
    assert master._key[Attribute.SENSITIVE] is True
    master.close()


def test_a_key_that_could_be_taken_out_is_refused(token: str, request: pytest.FixtureRequest) -> None:
    import pkcs11

    library, attribute = pkcs11.lib(MODULE), pkcs11.Attribute
    readable = {attribute.EXTRACTABLE: True, attribute.SENSITIVE: False, attribute.SIGN: True}
    with library.get_token(token_label="tally").open(rw=True, user_pin=PIN) as session:
        session.generate_key(
            pkcs11.KeyType.AES, 128, label=request.node.name, store=True, template=readable
        )  # fmt: skip
    with pytest.raises(KeysError, match="can be taken out of its token"):
        Pkcs11Master(token, PIN)


def test_token_troubles_have_names(token: str) -> None:
    with pytest.raises(KeysError, match="no key 'test_token_troubles_have_names'; make it with `tag keys new`"):
        Pkcs11Master(token, PIN)
    with pytest.raises(KeysError, match="token 'tally': wrong PIN"):
        Pkcs11Master(token, "1234")
    with pytest.raises(KeysError, match="token 'other'"):
        Pkcs11Master(token.replace("token=tally", "token=other"), PIN)
    with pytest.raises(KeysError, match="token 'tally'"):
        Pkcs11Master(token.replace(MODULE, "/nowhere/x.so"), PIN)
