"""An authority of a site's own, and the broker's certificate under it. Nobody else's certificate opens the broker.

They are valid from 2000 on: a node has no wall clock, and one that thinks it is 2000 must still believe its broker.
Who loses ca.key makes a new authority and hands its certificate to every node.
"""

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FIRST_DAY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
LAST_DAY = datetime.datetime(2049, 12, 31, tzinfo=datetime.UTC)  # the last year that every X.509 reader agrees on
_CURVE = ec.SECP256R1()  # what MicroPython's TLS has, and the smallest


def new_key() -> str:
    """A private key as PEM."""
    key = ec.generate_private_key(_CURVE)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def authority(key_text: str) -> bytes:
    """The authority's own certificate as PEM."""
    key = _load(key_text)
    name = _name("Tallystick broker authority")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = _builder(name, name, key.public_key(), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return _signed(builder.add_extension(usage, critical=True), key)


def server(key_text: str, authority_key_text: str, hosts: Sequence[str]) -> bytes:
    """The broker's certificate as PEM, for all of `hosts` (names or addresses)."""
    key, signer = _load(key_text), _load(authority_key_text)
    issuer = _name("Tallystick broker authority")
    builder = _builder(_name(hosts[0]), issuer, key.public_key(), signer.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usage = x509.KeyUsage(True, False, False, False, True, False, False, False, False)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _signed(builder.add_extension(names, critical=False), signer)


def hosts_of(certificate: bytes) -> list[str]:
    """The hosts that a certificate of ours is for; [] when it is none."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return []
    return [str(name.value) for name in names]


def _load(text: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a key on a curve")
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST_DAY)
        .not_valid_after(LAST_DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
