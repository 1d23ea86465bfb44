"""What stands in certificates, against those that another library has made."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from cryptography import x509 as reference
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from aserve.protocols import x509

BEGINS, ENDS = datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), datetime(2051, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The second needs the longer kind of time (RFC 5280 §4.1.2.5)."""


def made(
    subject: list[tuple[ObjectIdentifier, str]], names: list[reference.GeneralName]
) -> reference.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = reference.Name([reference.NameAttribute(*each) for each in subject])
    builder = (
        reference.CertificateBuilder()
        .subject_name(name)
        .issuer_name(reference.Name([reference.NameAttribute(NameOID.COMMON_NAME, "Authority")]))
        .public_key(key.public_key())
        .serial_number(0x1234567890ABCDEF)
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
    )
    if names:
        builder = builder.add_extension(reference.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256())


def der(certificate: reference.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_all_of_it() -> None:
    import ipaddress

    names = [
        reference.DNSName("Shop.Example"),
        reference.DNSName("*.shop.example"),
        reference.IPAddress(ipaddress.ip_address("192.0.2.1")),
        reference.IPAddress(ipaddress.ip_address("2001:db8::1")),
        reference.RFC822Name("nobody@shop.example"),
    ]
    certificate = made([(NameOID.COUNTRY_NAME, "DE"), (NameOID.COMMON_NAME, "Ann")], names)
    found = x509.read(der(certificate))
    assert found == x509.Certificate(
        serial=0x1234567890ABCDEF,
        subject="CN=Ann,C=DE",
        issuer="CN=Authority",
        common_name="Ann",
        names=("shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1"),
        begins=BEGINS,
        ends=ENDS,
    )


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "Smith, John",
        'say "hi"',
        "a+b",
        "#first",
        " led",
        "trailed ",
        "semi;colon",
        "<b>",
        "back\\slash",
        "Jürgen 李",
        "a=b",
    ],
)
def test_names_are_written_as_rfc_4514_has_it(value: str) -> None:
    subject = [
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.ORGANIZATION_NAME, value),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Unit"),
        (NameOID.DOMAIN_COMPONENT, "example"),
        (NameOID.USER_ID, "ann"),
        (ObjectIdentifier("1.3.6.1.4.1.99999.1"), "own"),
        (NameOID.COMMON_NAME, value),
    ]
    certificate = made(subject, [])
    assert x509.read(der(certificate)).subject == certificate.subject.rfc4514_string()


def test_control_characters_do_not_leave_a_name() -> None:
    certificate = made([(NameOID.COMMON_NAME, "a\r\nb\0c")], [])
    assert x509.read(der(certificate)).subject == r"CN=a\0d\0ab\00c"


def test_without_alternatives_the_common_name_is_the_hosts() -> None:
    found = x509.read(der(made([(NameOID.COMMON_NAME, "Old.Example")], [])))
    assert found.names == ("old.example",)
    assert x509.read(der(made([], []))).names == ()


def test_damage_is_no_other_error() -> None:
    data = der(made([(NameOID.COMMON_NAME, "a.example")], [reference.DNSName("a.example")]))
    chance = random.Random(7)
    for size in range(len(data)):
        with pytest.raises(x509.CertificateError):
            x509.read(data[:size])
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            x509.read(bytes(damaged))
        except x509.CertificateError:
            pass
