"""Certificates for servers and clients, right ones and wrong ones, made anew for each run."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ("Certificates", "Identity")

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Certificates:
    """An authority, and what it vouches for, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = _Authority("asyncbackends tests")
        stranger = _Authority("somebody else")
        self.ca = self._write("ca.pem", authority.pem)
        self.other_ca = self._write("other-ca.pem", stranger.pem)
        """An authority that has vouched for no server here."""
        self.server = self._identity("server", authority, names=("localhost", "127.0.0.1"))
        self.wrong_name = self._identity("wrong-name", authority, names=("elsewhere.example",))
        self.expired = self._identity(
            "expired", authority, names=("localhost", "127.0.0.1"), begins=-10, ends=-1
        )
        self.unknown = self._identity("unknown", stranger, names=("localhost", "127.0.0.1"))
        """A right server certificate, of the other authority."""
        self.client = self._identity("client", authority)
        self.unknown_client = self._identity("unknown-client", stranger)

    def trusting_context(self) -> ssl.SSLContext:
        """Give what takes any server: whether its certificate is the right one is for tests."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.client.certificate, self.client.key)
        return context

    def _identity(
        self,
        name: str,
        authority: "_Authority",
        *,
        names: tuple[str, ...] = (),
        begins: int = -1,
        ends: int = 30,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority.certify(key, name, names, begins, ends)
        return Identity(
            self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(
                f"{name}.key",
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                ),
            ),
        )

    def _write(self, name: str, pem: bytes) -> Path:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_bytes(pem)
        return path


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._certificate = (
            _certificate(self._name, self._name, self._key.public_key(), -1, 30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def certify(
        self,
        key: ec.EllipticCurvePrivateKey,
        name: str,
        names: tuple[str, ...],
        begins: int,
        ends: int,
    ) -> x509.Certificate:
        use = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _certificate(self._name, _named(name), key.public_key(), begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names:
            others = x509.SubjectAlternativeName([_general_name(each) for each in names])
            builder = builder.add_extension(others, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _certificate(
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: int,
    ends: int,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + ends * DAY)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
