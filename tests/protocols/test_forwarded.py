"""Who is believed, and what Forwarded and X-Forwarded-* come to."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.forwarded import Origin, Trust, resolve
from aserve.protocols.policy import Refusal

PEER = ("10.0.0.1", 4711)
TRUST = ("10.0.0.0/8", "2001:db8:1::/48", "192.0.2.9")

Client = tuple[str, int] | None


def origin(*fields: str, trust: tuple[str, ...] = TRUST, peer: Client = PEER) -> Origin:
    """The origin by lines such as "x-forwarded-for: 1.2.3.4"; asked twice, since the answer is kept."""
    pairs = [line.split(":", 1) for line in fields]
    given = [(name.encode(), value.strip(" ").encode("latin-1")) for name, value in pairs]
    trusted = Trust(trust)
    found = resolve(given, peer, trusted)
    assert resolve(given, peer, trusted) == found
    return found


def refusal(*fields: str, trust: tuple[str, ...] = TRUST) -> Refusal:
    for _ in range(2):
        with pytest.raises(RequestRefusedError) as caught:
            origin(*fields, trust=trust)
    return caught.value.refusal


def client(value: str, *trust: str) -> Client:
    return origin(f"x-forwarded-for: {value}", trust=trust or TRUST).client


# Trust


@pytest.mark.parametrize(
    ("addresses", "believed", "others"),
    [
        (["127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"], ["127.0.0.2", "::1", "", "unix", "x", "127.1"]),
        (["::1"], ["::1", "0:0:0:0:0:0:0:1"], ["::2", "0.0.0.1"]),
        (["::ffff:10.0.0.1"], ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2", "::1"]),
        (["10.0.0.0/8", "192.168.1.0/25"], ["10.255.0.1", "192.168.1.127"], ["11.0.0.1", "192.168.1.128"]),
        (["2001:db8::/32"], ["2001:DB8:1::5"], ["2001:db9::", "32.1.13.184"]),
        (["fe80::/10"], ["fe80::1%eth0"], ["fec0::1"]),
        (["::ffff:10.0.0.0/104"], ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::a01:203"]),
        (["0.0.0.0/0"], ["1.2.3.4", "::ffff:1.2.3.4"], ["::1"]),
        (["*"], ["1.2.3.4", "::1", "whatever"], []),
        (["10.0.0.1", " * "], ["1.2.3.4"], []),
        ([], [], ["127.0.0.1", "::1"]),
    ],
)
def test_who_is_believed(addresses: list[str], believed: list[str], others: list[str]) -> None:
    trust = Trust(addresses)
    assert [address for address in believed if not trust.allows((address, 1))] == []
    assert [address for address in others if trust.allows((address, 1))] == []


@pytest.mark.parametrize(("addresses", "allowed"), [(["unix"], True), (["*"], True), (["127.0.0.1"], False)])
def test_peers_of_unix_sockets(addresses: list[str], allowed: bool) -> None:
    assert Trust(addresses).allows(None) is allowed


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0", "10.0.0.1/33", "::g", "10.0.0.1:80", "127.0.0.01", "Unix", "[::1]"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write an IP address such as 10\.0\.0\.1"):
        Trust([text])


def test_an_address_with_a_mask_is_refused_with_the_network() -> None:
    with pytest.raises(ValueError, match=r"'10\.1\.2\.3/8' .* write 10\.0\.0\.0/8 "):
        Trust(["10.1.2.3/8"])


# X-Forwarded-For


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("203.0.113.7", ("203.0.113.7", 0)),
        ("6.6.6.6, 203.0.113.7", ("203.0.113.7", 0)),
        ("6.6.6.6,203.0.113.7,10.0.0.3 ,\t10.0.0.2", ("203.0.113.7", 0)),
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),  # trusted all along: the first of them
        ("203.0.113.7, 10.0.0.300", None),
        ("203.0.113.7:5678", ("203.0.113.7", 5678)),
        ("203.0.113.7:5678, 10.0.0.2:80", ("203.0.113.7", 5678)),
        ("[2001:db8::7]:5678", ("2001:db8::7", 5678)),
        ("[2001:db8::7]", ("2001:db8::7", 0)),
        ("2001:DB8:0::7", ("2001:db8::7", 0)),
        ("203.0.113.7, [2001:db8:1::1]:80", ("203.0.113.7", 0)),
        ("::ffff:203.0.113.7", ("203.0.113.7", 0)),
        ("203.0.113.7, ::ffff:10.0.0.1", ("203.0.113.7", 0)),
        ("fe80::1%eth0", ("fe80::1", 0)),
        ("", PEER),
        (" , ,", PEER),
        ("203.0.113.7, ,10.0.0.2,,", ("203.0.113.7", 0)),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_not_trusted(value: str, expected: Client) -> None:
    if expected is None:
        assert refusal(f"x-forwarded-for: {value}") is policy.BAD_FORWARDED_FOR
    else:
        assert client(value) == expected


@pytest.mark.parametrize("hidden", ["unknown", "Unknown", "_hidden", "_SEVKISEK", "unknown:80", "_a.b-c:_d"])
def test_a_hop_that_hides_its_address(hidden: str) -> None:
    assert client(f"203.0.113.7, {hidden}, 10.0.0.2") is None
    assert client(f"{hidden}, 203.0.113.7") == ("203.0.113.7", 0)


GARBAGE = (
    "localhost",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.4:",
    "1.2.3.4:65536",
    "1.2.3.4:+80",
    "1.2.3.4:8_0",
    "[1.2.3.4]",
    "[::1",
    "::1]",
    "[::1]80",
    "[]",
    "1:2",
    "_",
    "_a b",
    "unknown!",
    '"1.2.3.4"',
    "1.2.3.4;",
    "\u0661.2.3.4".encode().decode("latin-1"),
)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_of_the_peer_is_refused_that_of_others_ends_the_list(garbage: str) -> None:
    assert refusal(f"x-forwarded-for: 203.0.113.7, {garbage}") is policy.BAD_FORWARDED_FOR
    assert client(f"{garbage}, 203.0.113.7") == ("203.0.113.7", 0)
    assert client(f"6.6.6.6, {garbage}, 10.0.0.2, 10.0.0.3") == ("10.0.0.2", 0)


def test_lines_are_one_list() -> None:
    lines = ("x-forwarded-for: 6.6.6.6", "x-forwarded-for: 203.0.113.7", "x-forwarded-for: 10.0.0.2")
    assert origin(*lines).client == ("203.0.113.7", 0)
    assert origin(*lines[:2], "x-forwarded-proto: http", lines[2]).client == ("203.0.113.7", 0)
    assert origin(*reversed(lines)).client == ("6.6.6.6", 0)


def test_with_everybody_trusted_it_is_the_first_of_all() -> None:
    assert client("6.6.6.6, 203.0.113.7", "*") == ("6.6.6.6", 0)
    assert client("6.6.6.6, unknown, 203.0.113.7", "*") == ("6.6.6.6", 0)
    assert client("garbage, 203.0.113.7", "*") == ("203.0.113.7", 0)


def test_a_hop_on_a_unix_socket_as_nginx_names_it() -> None:
    assert client("203.0.113.7, unix:", "10.0.0.1", "unix") == ("203.0.113.7", 0)
    assert client("203.0.113.7, unix:", "10.0.0.1") is None
    assert client("unix:", "10.0.0.1", "unix") is None


def test_a_list_without_an_end_is_not_followed() -> None:
    many = "10.0.0.2," * 63
    assert client("203.0.113.7," + many.rstrip(",")) == ("203.0.113.7", 0)
    assert refusal("x-forwarded-for: 203.0.113.7," + many + "10.0.0.2") is policy.BAD_FORWARDED_FOR
    assert client("1.1.1.1," * 5000 + "203.0.113.7") == ("203.0.113.7", 0)


def test_whoever_is_on_a_unix_socket_stays_unknown_if_nobody_is_named() -> None:
    assert origin("x-forwarded-proto: https", peer=None, trust=("unix",)).client is None
    trust = Trust(["unix", "10.0.0.1"])
    fields = [(b"x-forwarded-proto", b"https")]
    assert [resolve(fields, peer, trust).client for peer in (None, PEER, None)] == [None, PEER, None]


# X-Forwarded-Proto and its relatives


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        (["x-forwarded-proto: https"], "https"),
        (["x-forwarded-proto: HTTP"], "http"),
        (["x-forwarded-proto: wss"], "https"),
        (["x-forwarded-proto: ws"], "http"),
        (["x-forwarded-proto:"], None),
        (["x-forwarded-proto: https, https", "x-forwarded-proto: https"], "https"),
        (["x-forwarded-ssl: on"], "https"),
        (["x-forwarded-ssl: off"], "http"),
        (["x-forwarded-protocol: ssl"], "https"),
        (["x-forwarded-protocol: https", "x-forwarded-ssl: on", "x-forwarded-proto: https"], "https"),
        (["x-forwarded-for: 1.2.3.4"], None),
    ],
)
def test_scheme(fields: list[str], scheme: str | None) -> None:
    assert origin(*fields).scheme == scheme


@pytest.mark.parametrize(
    "field", ["x-forwarded-proto: ftp", "x-forwarded-ssl: yes", "x-forwarded-proto: http;"]
)
def test_no_scheme(field: str) -> None:
    assert refusal(field) is policy.BAD_FORWARDED_PROTO


# X-Forwarded-Host and X-Forwarded-Port


@pytest.mark.parametrize(
    ("fields", "host", "name", "port"),
    [
        (["x-forwarded-host: a.example"], b"a.example", "a.example", 80),
        (["x-forwarded-host: A.example", "x-forwarded-proto: https"], b"a.example", "a.example", 443),
        (["x-forwarded-host: a.example:8443"], b"a.example:8443", "a.example", 8443),
        (["x-forwarded-host: a.example", "x-forwarded-port: 8443"], b"a.example:8443", "a.example", 8443),
        (["x-forwarded-host: a.example", "x-forwarded-port: 80"], b"a.example", "a.example", 80),
        (
            ["x-forwarded-host: a.example", "x-forwarded-port: 443", "x-forwarded-proto: https"],
            b"a.example",
            "a.example",
            443,
        ),
        # What the client wrote is one thing, the port at which a proxy took it another: ports are mapped.
        (["x-forwarded-host: a.example:8443", "x-forwarded-port: 443"], b"a.example:8443", "a.example", 443),
        (["x-forwarded-host: a.example:", "x-forwarded-port: 81"], b"a.example:81", "a.example", 81),
        (["x-forwarded-host: [::1]"], b"[::1]", "::1", 80),
        (["x-forwarded-host: [::1]:8000"], b"[::1]:8000", "::1", 8000),
        (["x-forwarded-host: [::1]", "x-forwarded-port: 8000"], b"[::1]:8000", "::1", 8000),
        (["x-forwarded-host: a.example, A.EXAMPLE"], b"a.example", "a.example", 80),
        (["x-forwarded-port: 8443"], None, None, 8443),
        (["x-forwarded-host:"], None, None, None),
    ],
)
def test_host_and_port(fields: list[str], host: bytes | None, name: str | None, port: int | None) -> None:
    found = origin(*fields)
    assert (found.host, found.name, found.port) == (host, name, port)


@pytest.mark.parametrize(
    "host", ["a b", "u@a.example", "a/b", "a.example:99999", "[::1", "a\xff", "http://a", ":80"]
)
def test_no_host(host: str) -> None:
    assert refusal(f"x-forwarded-host: {host}") is policy.BAD_FORWARDED_HOST


@pytest.mark.parametrize("port", ["0", "65536", "+80", "8_0", "80x", "-1", "\xb2", "000080"])
def test_no_port(port: str) -> None:
    assert refusal(f"x-forwarded-port: {port}") is policy.BAD_FORWARDED_PORT


# X-Forwarded-Prefix


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/", ""),
        ("", ""),
        ("/a/b.c/~d", "/a/b.c/~d"),
        ("/caf%C3%A9", "/caf%C3%A9"),
    ],
)
def test_prefix(prefix: str, expected: str) -> None:
    assert origin(f"x-forwarded-prefix: {prefix}").prefix == expected.encode()


@pytest.mark.parametrize(
    "prefix",
    [
        *("api", "//evil.example", "/a//b", "/a/../b", "/..", "/.", "/a?b", "/a#b", "/a b", "/a\\b", "/\xe9"),
        *("/%2e%2e/a", "/a%2fb", "/a%5cb", "/a%0d%0ab", "/a%", "/a%zz", "http://a/", "/a, /b"),
    ],
)
def test_no_prefix(prefix: str) -> None:
    assert refusal(f"x-forwarded-prefix: {prefix}").status == 400


# Forwarded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.7", ("203.0.113.7", 0)),
        ("For=203.0.113.7;Proto=https;by=_gw", ("203.0.113.7", 0)),
        ('for="203.0.113.7:5678"', ("203.0.113.7", 5678)),
        ('for="203.0.113.7:_port"', ("203.0.113.7", 0)),
        ('for="[2001:db8::7]:80", for=10.0.0.2', ("2001:db8::7", 80)),
        ('for="[2001:db8::7]"', ("2001:db8::7", 0)),
        ('for="\\2\\03.0.113.7"', ("203.0.113.7", 0)),
        ("for=6.6.6.6, for=203.0.113.7 ,\tfor=10.0.0.3", ("203.0.113.7", 0)),
        ("for=10.0.0.3, for=10.0.0.2", ("10.0.0.3", 0)),
        ("for=6.6.6.6, for=unknown", None),
        ("for=6.6.6.6, for=_hidden, for=10.0.0.1", None),
        ('for="_gazonk:_p"', None),
        ("", PEER),
        (" , ;;,", PEER),
        ("proto=https", PEER),
        ("for=6.6.6.6, proto=https", PEER),  # whom the peer has it from is not told, and not to be guessed
        ('for=203.0.113.7;ext="a, for=6.6.6.6; \\" b"', ("203.0.113.7", 0)),
        ("for=203.0.113.7 ; proto=http", ("203.0.113.7", 0)),
    ],
)
def test_forwarded_for(value: str, expected: Client) -> None:
    assert origin(f"forwarded: {value}").client == expected


def test_proto_and_host_are_those_of_the_outermost_trusted_proxy() -> None:
    found = origin(
        "forwarded: for=6.6.6.6;proto=http;host=evil.example",
        "forwarded: for=203.0.113.7;proto=https;host=a.example, for=10.0.0.2;proto=http;host=inner.example",
    )
    assert found == Origin(("203.0.113.7", 0), "https", b"a.example", "a.example", 443)


def test_what_it_does_not_say_is_not_taken_from_others() -> None:
    found = origin("forwarded: for=203.0.113.7, for=10.0.0.2;proto=https;host=inner.example")
    assert found == Origin(("203.0.113.7", 0))


def test_with_everybody_trusted_it_is_the_first_element() -> None:
    found = origin('forwarded: for=_x;proto=https, proto=http, for="[::1]";proto=http', trust=("*",))
    assert found == Origin(None, "https")


MALFORMED = (
    "for",
    "for=",
    "=x",
    "for =1.2.3.4",
    "for= 1.2.3.4",
    "for=1.2.3.4:80",
    "for=[::1]",
    'for="::1"',
    'for="[1.2.3.4]"',
    'for="1.2.3.4',
    'for=1.2.3.4"',
    'for="1.2.3.4"x',
    'for=""',
    'for="a\\',
    "for=1.2.3.4;for=1.2.3.4",
    "for=1.2.3.4;FOR=5.6.7.8",
    "for=1.2.3.4 proto=http",
    "for=1.2.3.4;proto=ftp",
    'for=1.2.3.4;host="a b"',
    'for=1.2.3.4;host=""',
    "for=somebody",
    'for="1.2.3.4:70000"',
    "for=1.2.3.4\xa0",
    'for=6.6.6.6;x=", for=10.0.0.2',  # an unclosed quote swallows what the proxy has added
    'for=6.6.6.6;x=", for="[2001:db8:1::1]"',
)


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_forwarded(value: str) -> None:
    assert refusal(f"forwarded: {value}") is policy.BAD_FORWARDED


def test_malformed_is_refused_wherever_it_stands() -> None:
    assert refusal("forwarded: for=!, for", "forwarded: for=203.0.113.7") is policy.BAD_FORWARDED


def test_forwarded_without_an_end() -> None:
    assert refusal("forwarded: " + "for=10.0.0.2," * 300) is policy.BAD_FORWARDED
    assert refusal("forwarded: " + ";".join(f"x{n}=1" for n in range(300))) is policy.BAD_FORWARDED
    assert refusal("forwarded: " + " " * 60000 + "x") is policy.BAD_FORWARDED


# Contradictions


@pytest.mark.parametrize(
    "fields",
    [
        ["x-forwarded-proto: https", "x-forwarded-proto: http"],
        ["x-forwarded-proto: https, http"],
        ["x-forwarded-proto: https", "x-forwarded-ssl: off"],
        ["x-forwarded-proto: http", "x-forwarded-protocol: ssl"],
        ["x-forwarded-host: a.example, b.example"],
        ["x-forwarded-host: a.example", "x-forwarded-host: a.example:80"],
        ["x-forwarded-port: 80", "x-forwarded-port: 81"],
        ["x-forwarded-prefix: /a", "x-forwarded-prefix: /b"],
        ["x-forwarded-for: 203.0.113.7", "forwarded: for=203.0.113.8"],
        ["x-forwarded-for: 203.0.113.7", "forwarded: for=_hidden"],
        ["x-forwarded-for: unknown", "forwarded: for=203.0.113.8"],
        ["x-forwarded-proto: http", "forwarded: proto=https"],
        ["x-forwarded-host: a.example", "forwarded: host=b.example"],
        ["forwarded: for=203.0.113.7;proto=http, for=10.0.0.1;proto=https", "x-forwarded-proto: https"],
    ],
)
def test_contradictions_are_refused(fields: list[str]) -> None:
    assert refusal(*fields) is policy.FORWARDED_CONTRADICTION
    assert refusal(*reversed(fields)) is policy.FORWARDED_CONTRADICTION


def test_saying_the_same_twice_is_no_contradiction() -> None:
    found = origin(
        "x-forwarded-for: 6.6.6.6, 203.0.113.7",
        'forwarded: for="203.0.113.7:5678";proto=https;host=A.example, for=10.0.0.2',
        "x-forwarded-proto: https",
        "x-forwarded-host: a.example",
    )
    assert found == Origin(("203.0.113.7", 5678), "https", b"a.example", "a.example", 443)


# The cache


def test_many_clients_do_not_fill_the_memory() -> None:
    trust = Trust(["10.0.0.1"])
    for number in range(5000):
        address = f"203.0.{number // 256}.{number % 256}"
        fields = [(b"x-forwarded-for", address.encode()), (b"x-forwarded-proto", b"https")]
        assert resolve(fields, PEER, trust) == Origin((address, 0), "https")
    resolve([(b"x-forwarded-for", b"203.0.113.7," * 1000 + b"203.0.113.7")], PEER, trust)
    assert len(trust.origins) <= 1024
    assert max(len(value) for key in trust.origins for _, value in key) < 512


def test_what_one_trust_makes_of_it_another_one_does_not() -> None:
    fields = [(b"x-forwarded-for", b"203.0.113.7, 10.0.0.2")]
    assert resolve(fields, PEER, Trust(["10.0.0.0/8"])).client == ("203.0.113.7", 0)
    assert resolve(fields, PEER, Trust(["10.0.0.1"])).client == ("10.0.0.2", 0)


# Whatever comes

_PIECES = st.sampled_from(
    [
        *("for=", "proto=", "host=", "by=", ";", ",", " ", '"', "\\", "[", "]", ":", "%", "_x", "unknown"),
        *("203.0.113.7", "10.0.0.2", "::1", "2001:db8::7", "https", "http", "on", "a.example", "80", "/a"),
    ]
)
_VALUES = st.lists(_PIECES, max_size=12).map("".join) | st.text(st.characters(max_codepoint=255), max_size=40)
_FIELDS = st.lists(st.tuples(st.sampled_from(sorted(policy.PROXY_FIELDS)), _VALUES), max_size=5)


@given(fields=_FIELDS, everybody=st.booleans())
def test_it_is_refused_or_comes_to_something_that_applications_can_use(
    fields: list[tuple[bytes, str]], everybody: bool
) -> None:
    given_fields = [(name, value.encode("latin-1")) for name, value in fields]
    trust = Trust(["*"] if everybody else TRUST)
    try:
        found = resolve(given_fields, PEER, trust)
    except RequestRefusedError:
        return
    assert resolve(given_fields, PEER, trust) == found
    if found.client is not None:
        assert str(ipaddress.ip_address(found.client[0])) == found.client[0]
        assert 0 <= found.client[1] <= 65535
    assert found.scheme in (None, "http", "https")
    assert (found.host is None) is (found.name is None)
    if found.host is not None:
        assert policy.is_host(found.host)
    assert found.port is None or 0 <= found.port <= 65535
    assert not found.prefix or (found.prefix.startswith(b"/") and not found.prefix.endswith(b"/"))


# The scheme by headers of the user's own choice


def scheme(secure: dict[bytes, str], *fields: str) -> str | None:
    given = [(name.encode(), value.encode()) for name, value in (line.split(":", 1) for line in fields)]
    return resolve(given, PEER, Trust(TRUST, secure)).scheme


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["x-scheme:https"], "https"),
        (["x-scheme:http"], "http"),
        (["x-scheme:HTTPS"], "http"),  # the value that was named, and no other
        (["x-forwarded-proto:https"], None),
        (["forwarded:proto=https"], None),
        (["x-scheme:http", "x-forwarded-proto:https", "forwarded:proto=https"], "http"),
        ([], None),
    ],
)
def test_only_the_named_header_tells_the_scheme(fields: list[str], expected: str | None) -> None:
    assert scheme({b"x-scheme": "https"}, *fields) == expected


def test_the_usual_headers_keep_their_meaning_when_they_are_named() -> None:
    assert scheme({b"x-forwarded-proto": "https"}, "x-forwarded-proto:https,https") == "https"
    assert scheme({b"x-forwarded-proto": "https"}, "x-forwarded-ssl:on") is None
    assert scheme({b"x-forwarded-proto": "yes"}, "x-forwarded-proto:yes") == "https"
    with pytest.raises(RequestRefusedError) as caught:
        scheme({b"x-forwarded-proto": "https"}, "x-forwarded-proto:ftp")
    assert caught.value.refusal is policy.BAD_FORWARDED_PROTO


def test_named_headers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(RequestRefusedError) as caught:
        scheme({b"x-scheme": "https", b"front-end-https": "on"}, "x-scheme:https", "front-end-https:off")
    assert caught.value.refusal is policy.FORWARDED_CONTRADICTION
