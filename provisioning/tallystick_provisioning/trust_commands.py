"""`tallystick trust ...`: authorities, identities and signed statements."""

import secrets
import sys
import time
from pathlib import Path
from typing import Literal

from tallystick_proof import keys, statement
from tallystick_provisioning import enrolments, key_file, statement_file, text_file, trust_setup, whole_file
from tallystick_provisioning.errors import KeyFileError, ProvisioningError, StatementFileError, UsageError
from tallystick_provisioning.exit_codes import DONE, reporting
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.trust_setup import read_trust
from tallystick_wire import message

DOCUMENTATION_PEN = 32473  # RFC 5612
DEFAULT_HEAD_AGE_S = 7 * 86400  # evidence older than a week deserves a fresh proof


@reporting()
def init(
    folder: Path,
    *,
    ledger_vkey: Path,
    witness_vkey: list[Path] | None = None,
    unwitnessed: bool = False,
    quorum: int | None = None,
    pen: int = DOCUMENTATION_PEN,
    max_head_age: int = DEFAULT_HEAD_AGE_S,
    dry_run: bool = False,
) -> int:
    """Make the authority keys, the site key and trust.toml of a new ledger.

    The authorities' keys vouch for everyone else: keep FOLDER/authorities offline. trust.toml is public: it is all that
    a verifier needs.

    Example:
        tallystick trust init site --ledger-vkey cloud/ledger.vkey --witness-vkey witness/witness.vkey

    Parameters
    ----------
    folder
        Folder to write into.
    ledger_vkey
        File with the ledger's C2SP verifier key; its name is the ledger's origin.
    witness_vkey
        File with a witness's verifier key; once for each witness.
    unwitnessed
        Make a ledger for which no witness vouches: verify then needs --unwitnessed-ok.
    quorum
        How many witnesses must have cosigned; default: a majority.
    pen
        Private enterprise number in the nodes' names.
    max_head_age
        Seconds after which a verifier wants a fresher proof.
    dry_run
        Check everything, show the policy, write nothing.
    """
    if bool(witness_vkey) == unwitnessed:
        raise UsageError("give --witness-vkey for each witness, or --unwitnessed when there is none")
    plan = trust_setup.plan(folder, ledger_vkey, witness_vkey or [], quorum, pen, max_head_age)
    if dry_run:
        print(plan.policy, end="")
        print("\n".join(f"would write {path}" for path in plan.paths()))
        return DONE
    trust_setup.carry_out(plan)
    print("\n".join(f"wrote {path}" for path in plan.paths()))
    return DONE


@reporting()
def enrol(
    role: Literal["organisation", "installer", "decision"],
    key: Path,
    *,
    authority: Path,
    trust: Path,
    ledger: str,
    create: bool = False,
    dry_run: bool = False,
) -> int:
    """Enrol an organisation, installer or decision key: its own request, the authority's statement, posted.

    Example:
        tallystick trust enrol organisation bank.key --create --authority site/authorities/organisation.key
        --trust site/trust.toml --ledger http://ledger.example

    Parameters
    ----------
    role
        What the key is for; a key has one role.
    key
        Its key file.
    authority
        Key file of the authority for this role.
    trust
        trust.toml of the ledger.
    ledger
        Address of the ledger.
    create
        Make the key first; the file must not exist.
    dry_run
        Check everything, sign and post nothing.
    """
    trusted, client = read_trust(trust), LedgerClient(ledger)
    signs = key_file.load(authority, keys.AUTHORITY_PREFIX + role)
    enrolments.check_authority(signs, trusted, role)
    if not create:
        key_file.load(key, role)
    elif key.exists():
        raise KeyFileError(f"{key}: exists already; leave --create out to enrol it")
    if dry_run:
        print(f"{'would make and' if create else 'would'} enrol {key} as {role} in {trusted.origin}")
        return DONE
    signer = key_file.create(key, role) if create else key_file.load(key, role)
    request = enrolments.own_request(signer, trusted.origin, secrets.token_bytes)
    data = enrolments.enrolment(signs, trusted, request, secrets.token_bytes)
    try:
        posted = client.post(data)
    except ProvisioningError:
        if create:
            print(f"{key} is made and not enrolled: run this again without --create", file=sys.stderr)
        raise
    print(f"{role} {signer.thumbprint.hex()}: enrolled, ledger index {_index(posted.index)}")
    return DONE


@reporting()
def sign(
    kind: Literal["association", "facility", "pledge", "revocation"],
    body: Path,
    *,
    key: Path,
    trust: Path,
    ledger: str | None = None,
    out: Path | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> int:
    """Sign a statement that is written as TOML, print its identity, and post it.

    Bytes are hex; decimals in a facility's rules are text ("8.0"). aud, jti and a facility's lender are filled in.

    Example:
        tallystick trust sign pledge pledge.toml --key farm.key --trust site/trust.toml --ledger http://ledger.example

    Parameters
    ----------
    kind
        association, facility, pledge or revocation.
    body
        TOML file with the statement's fields.
    key
        Key file of the signer: installer, organisation, or the authority of a revoked key's kind.
    trust
        trust.toml of the ledger.
    ledger
        Address of the ledger to post it to; default: do not post.
    out
        File to write the statement to.
    force
        Write over a file that is there already.
    dry_run
        Check the fields and the key; sign, write and post nothing.
    """
    trusted, client = read_trust(trust), None if ledger is None else LedgerClient(ledger)
    signer = key_file.load_any(key)
    if kind not in keys.MAY_SIGN[signer.role]:
        allowed = ", ".join(keys.roles_that_sign(kind))
        raise StatementFileError(f"{key}: holds a key of role {signer.role}; needed for {kind}: {allowed}")
    text = text_file.read(body, statement_file.MAX_FILE_BYTES)
    try:
        fields = statement_file.body(kind, text, signer, trusted.origin, secrets.token_bytes(message.JTI_BYTES))
    except StatementFileError as error:
        raise StatementFileError(f"{body}: {error}") from None
    if fields["exp"] is not None and fields["exp"] < time.time_ns() // 1_000_000:
        raise StatementFileError(f"{body}: exp: is over already, no ledger takes this")
    if dry_run:
        print(f"would sign this {kind} for {trusted.origin} as {signer.role} {signer.thumbprint.hex()}")
        return DONE
    data = statement.build(signer, kind, fields)
    if out is not None:
        whole_file.write_output(out, [data], force=force)
    if client is not None:
        client.post(data)
    print(statement.parse(data).identity.hex())
    return DONE


def _index(index: int | None) -> str:
    return "pending" if index is None else str(index)
