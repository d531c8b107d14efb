"""Right certificates are taken by a client that checks, wrong ones refused for what is wrong."""

import ssl
from pathlib import Path

import pytest

from tests.servers.certificates import Certificates, Identity


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [theirs, ours]
    for side in waiting * 4:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def server_context(certificates: Certificates, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations(certificates.ca)
    return context


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_right_one_is_taken(certificates: Certificates, name: str) -> None:
    server = server_context(certificates, certificates.server)
    shake_hands(server, ssl.create_default_context(cafile=str(certificates.ca)), name)


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        ("wrong_name", "IP address mismatch"),
        ("expired", "certificate has expired"),
        ("unknown", "unable to get local issuer certificate"),
    ],
)
def test_a_wrong_one_is_refused(certificates: Certificates, identity: str, reason: str) -> None:
    server = server_context(certificates, getattr(certificates, identity))
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        shake_hands(server, ssl.create_default_context(cafile=str(certificates.ca)))


def test_a_server_is_refused_by_who_trusts_another_authority(certificates: Certificates) -> None:
    server = server_context(certificates, certificates.server)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        shake_hands(server, ssl.create_default_context(cafile=str(certificates.other_ca)))


def test_a_client_is_known_or_not(certificates: Certificates) -> None:
    server = server_context(certificates, certificates.server)
    server.verify_mode = ssl.CERT_REQUIRED
    for identity in (certificates.client, certificates.unknown_client):
        client = ssl.create_default_context(cafile=str(certificates.ca))
        client.load_cert_chain(identity.certificate, identity.key)
        if identity is certificates.client:
            shake_hands(server, client)
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                shake_hands(server, client)


def test_keys_are_nobody_elses(certificates: Certificates) -> None:
    keys: list[Path] = [certificates.server.key, certificates.client.key]
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600, 0o600]
