"""Endpoints are read as they are written, and what cannot be one is said in a sentence."""

import pytest

from asyncbackends.endpoints import Endpoint, parsed_endpoint
from asyncbackends.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db.example.org", Endpoint("db.example.org", 5432)),
        ("db.example.org:15432", Endpoint("db.example.org", 15432)),
        ("10.0.0.7:1", Endpoint("10.0.0.7", 1)),
        ("[::1]", Endpoint("::1", 5432)),
        ("[fe80::1%eth0]:65535", Endpoint("fe80::1%eth0", 65535)),
        ("/run/postgresql", Endpoint("", 5432, "/run/postgresql")),
        ("/run/mysqld/mysqld.sock", Endpoint("", 5432, "/run/mysqld/mysqld.sock")),
    ],
)
def test_endpoint(text: str, expected: Endpoint) -> None:
    assert parsed_endpoint(text, 5432) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "host is missing"),
        (":5432", "host is missing"),
        ("[]", "host is missing"),
        ("db:", "a port is"),
        ("db:0", "a port is"),
        ("db:65536", "a port is"),
        ("db:five", "a port is"),
        ("db:\N{ARABIC-INDIC DIGIT THREE}", "a port is"),
        ("::1", "in brackets: [::1]"),
        ("fe80::1:5432", "in brackets"),
        ("[::1", "[v6] or [v6]:port"),
        ("[::1]5432", "[v6] or [v6]:port"),
        ("d b", "no host is named so"),
        ("db/other", "no host is named so"),
    ],
)
def test_malformed_endpoint_is_named(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed_endpoint(text, 5432)
    assert reason in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["joe:sesame@db:5432", "postgresql://joe:sesame@db", "sesame@db"])
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match="without credentials") as caught:
        parsed_endpoint(text, 5432)
    assert "sesame" not in str(caught.value)
