"""An authority of the stack's own, and a certificate for each part that listens."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import StackError
from ledger.stack.files import Layout, write_private
from ledger.stack.ports import HOST

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY = "faust-ledger"
AUTHORITY_DAYS = 3650
# What browsers take at most (CA/Browser Forum ballot SC31); `up` makes a new one in time.
DAYS = 397
RENEW_DAYS = 60
# Clocks of two machines differ.
EARLIER = timedelta(hours=1)


def establish(place: Layout, parts: Iterable[str]) -> None:
    """The authority and a certificate for each of `parts`, made where missing or ending soon.

    `StackError` when the authority's files cannot be read.
    """
    ca_key = place.secrets / "ca.key"
    if not place.ca_file.exists():
        make_authority(place.ca_file, ca_key)
    try:
        authority, key = read(place.ca_file, ca_key)
    except (OSError, ValueError) as error:
        raise StackError(
            f"The stack's certificates in {place.secrets} cannot be read ({error}). Restore "
            f"{place.ca_file} and {ca_key} from a backup, or remove all of {place.secrets} while "
            "the stack is down: `faust-ledger up` makes new ones, which clients must then be given."
        ) from error
    for part in parts:
        if ends(place.certificate(part)) < datetime.now(UTC) + timedelta(days=RENEW_DAYS):
            issue(place.certificate(part), part, authority, key)


def ends(file: Path) -> datetime:
    """When a certificate ends; the year 1 for one that is not there or not readable."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def make_authority(file: Path, key_file: Path) -> None:
    """A new key and a certificate that it signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    made = signed(
        begun(AUTHORITY, AUTHORITY, key, AUTHORITY_DAYS).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ),
        key,
    )
    # The certificate last: where it is, its key is.
    write_private(key_file, private(key))
    write_private(file, public(made))


def issue(
    file: Path, part: str, authority: "x509.Certificate", key: "ec.EllipticCurvePrivateKey"
) -> None:
    """A new key and certificate for `part` on this machine, in one file, the key first."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    own = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
    )
    made = signed(
        begun(part, AUTHORITY, own, DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
            critical=False,
        ),
        key,
    )
    write_private(file, private(own) + public(made))


def begun(
    subject: str, issuer: str, key: "ec.EllipticCurvePrivateKey", days: int
) -> "x509.CertificateBuilder":
    """A certificate for `key`, not signed yet."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def signed(
    begun: "x509.CertificateBuilder", key: "ec.EllipticCurvePrivateKey"
) -> "x509.Certificate":
    """The certificate."""
    from cryptography.hazmat.primitives import hashes

    return begun.sign(key, hashes.SHA256())


def read(file: Path, key_file: Path) -> "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]":
    """Of the authority; OSError or ValueError where that is not what is there."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(key_file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key_file} holds another kind of key")  # noqa: TRY004 - of a file
    return x509.load_pem_x509_certificate(file.read_bytes()), key


def private(key: "ec.EllipticCurvePrivateKey") -> str:
    """PEM, as Kafka, PostgreSQL and Java all read it."""
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public(certificate: "x509.Certificate") -> str:
    """PEM."""
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM).decode()
