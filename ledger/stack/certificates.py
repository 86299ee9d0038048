"""The stack's own certificate authority, and a certificate for each part that listens.

No library fits: trustme is for tests and writes keys that Kafka does not read (it wants PKCS #8);
certipy makes only RSA keys and closes a key's file to others after writing it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from ledger.errors import StackError
from ledger.stack.files import Layout, write_private
from ledger.stack.ports import HOST

AUTHORITY = "faust-ledger"
AUTHORITY_DAYS = 3650
# The most that browsers accept (CA/Browser Forum ballot SC31); `up` renews it in time.
DAYS = 397
RENEW_DAYS = 60
# The clocks of two machines differ.
CLOCK_SKEW = timedelta(hours=1)


def ensure_certificates(place: Layout, parts: Iterable[str]) -> None:
    """Make the authority and a certificate for each of `parts`, where missing or soon expired.

    `StackError` when the authority's files cannot be read.
    """
    ca_key = place.secrets / "ca.key"
    if not place.ca_file.exists():
        make_authority(place.ca_file, ca_key)
    try:
        authority, key = read_authority(place.ca_file, ca_key)
    except (OSError, ValueError) as error:
        raise StackError(
            f"The stack's certificates in {place.secrets} cannot be read ({error}). Restore "
            f"{place.ca_file} and {ca_key} from a backup, or remove all of {place.secrets} while "
            "the stack is down: `faust-ledger up` makes new ones, which clients must then be given."
        ) from error
    for part in parts:
        file = place.certificate(part)
        if expires_at(file) < datetime.now(UTC) + timedelta(days=RENEW_DAYS):
            issue(file, part, authority, key)


def expires_at(file: Path) -> datetime:
    """When a certificate expires; the year 1 for one that is missing or unreadable."""
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def make_authority(file: Path, key_file: Path) -> None:
    """Write a new key, and a certificate that is signed with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        builder(AUTHORITY, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    # The certificate last: where it is, its key is.
    write_private(key_file, key_pem(key))
    write_private(file, certificate_pem(certificate))


def issue(
    file: Path, part: str, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> None:
    """Write a new key and certificate for `part` on this machine to one file, the key first."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
    )
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())  # type: ignore[arg-type]
    certificate = (
        builder(part, key, DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(signer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_private(file, key_pem(key) + certificate_pem(certificate))


def builder(subject: str, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    """A certificate for `key` from our authority, to be completed and signed."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def read_authority(
    file: Path, key_file: Path
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority's certificate and key; OSError, or ValueError where a file is not one."""
    key = load_pem_private_key(key_file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key_file} holds another kind of key")  # noqa: TRY004 - of a file
    return x509.load_pem_x509_certificate(file.read_bytes()), key


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """PEM in PKCS #8, which Kafka, PostgreSQL and Java all read."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificate_pem(certificate: x509.Certificate) -> str:
    """The certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()
