"""The options that every command at the reader has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AtReader:
    """The options of every command that works on tags of a job."""

    reader: Annotated[str, Parameter(help="Reader: usb, tty:AMA0:pn532, pcsc:NAME or udp:HOST:PORT.")]
    keys: Annotated[
        str, Parameter(help="Sealed job, master key file, or pkcs11:token=...;object=...?module-path=...")
    ]
    trust: Annotated[Path | None, Parameter(help="trust.toml of the ledger; a sealed job is checked under it.")] = None
    installer: Annotated[
        Path | None, Parameter(help="Key file of the installer, who signs, and to whom a sealed job was given.")
    ] = None
    journal: Annotated[Path | None, Parameter(help="Folder with the tags' journals; default: beside the job.")] = None
    secret_file: Annotated[Path | None, Parameter(help="File with passphrase or PIN; default: it is asked for.")] = None
    maker: Annotated[Path | None, Parameter(help="File with further makers' public keys.")] = None
    patience: Annotated[float | None, Parameter(help="Seconds without a tag after which it ends.")] = None
    lang: Annotated[
        Literal["en", "zh"] | None, Parameter(help="Language of what is said; default: that of the system.")
    ] = None
    dry_run: Annotated[bool, Parameter(help="Say what would be done; write nothing, on no tag and in no file.")] = False
