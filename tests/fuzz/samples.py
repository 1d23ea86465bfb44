"""What strategies choose from: words that mean something in a request, and what looks like them."""

from __future__ import annotations

import string
from typing import Final

from aserve.protocols.policy import SPECIAL_HEADERS

_ALNUM: Final = (string.ascii_letters + string.digits).encode()
TCHAR: Final = _ALNUM + b"!#$%&'*+-.^_`|~"
FIELD_VCHAR: Final = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100))
TARGET_CHARS: Final = bytes(each for each in range(0x21, 0x7F) if each != ord("#"))
HOST_CHARS: Final = _ALNUM + b"-._~!$&'()*+;="
ODD: Final = bytes(range(0x21)) + b"\x7f\x80\xa0\xad\xff:;,\"'()[]{}<>@/\\?=#Aa0_-"

# A request that is complete in little, and without anything of interest.
SMALL: Final = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"

METHODS: Final = (
    ["GET"] * 4 + ["POST"] * 3 + ["HEAD", "OPTIONS", "PUT", "TRACE", "M-SEARCH", "QUERY", "PURGE"]
)
RAW_METHODS: Final = [each.encode() for each in METHODS] + [
    b"CONNECT",
    b"get",
    b"GE",
    b"GETT",
    b"PRI",
    b"FOO",
    b"SETUP",
    b"VERSION-CONTROL",
    b"foo",
    b"A" * 21,
]
AUTHORITIES: Final = [b"example.com:443", b"a:1", b"[::1]:443", b"127.0.0.1:65535", b"[v1.a]:0"]
HOSTS: Final = [
    b"a", b"example.com", b"example.com:80", b"127.0.0.1", b"127.0.0.1:65535", b"[::1]", b"[::1]:80",
    b"[1::]:", b"[::ffff:192.0.2.1]", b"[1:2:3:4:5:6:7:8]", b"[v1.a:b]", b"a%20b", b"A.B.", b"-",
    b"x_y:00080",
]  # fmt: skip
HOST_LINES: Final = [
    b"Host:", b"Host: ", b"Host: a b", b"Host: a,b", b"Host: u@a", b"Host: a:b", b"Host: a:99999",
    b"Host: a:65536",
    b"Host: [::1", b"Host: ::1", b"Host: [::g]", b"Host: a/b", b"Host: a?b", b"Host: a%2", b"Host: \xe9",
    b"Host : a", b"Host\t: a", b" Host: a", b"Host: a\r\nHost: a", b"X: y", b"host: a\r\nhOST: b",
    b"Host: a\r\n b", b"Host: [::1]a", b"Host: a:1:2", b"Host: [1::2::3]", b"Host: :80", b"Host: a\r\nHost:",
    b"Host: [::1%251]", b"Host: [v1.]", b"Host: http://a", b"Host: a#",
]  # fmt: skip
NAMES: Final = [
    b"Accept", b"User-Agent", b"X-Forwarded-For", b"X_Forwarded_For", b"Cookie", b"Content-Type", b"TE",
    b"Trailer", b"a", b"Keep-Alive", b"Proxy-Connection", b"Content_Length", b"HTTP2-Settings",
    b"Content-Lengt", b"Hos", b"Forwarded",
]  # fmt: skip
MEANINGFUL: Final = SPECIAL_HEADERS
CONNECTIONS: Final[list[bytes | None]] = [
    b"close", b"keep-alive", b"Keep-Alive", b"foo, Close", b"keep-alive, close", b"upgrade",
    b"Upgrade, keep-alive", b",, close ,", b"closed", b"te", b"",
]  # fmt: skip
ODD_TARGETS: Final = [
    b"*", b"", b"a", b"a:80", b"/#", b"/a#b", b"//", b"?", b"http://", b"http:///", b"http://u@a/",
    b"http:/a", b"ftp://a/", b"http://a:b/", b"http://a#", b"http://[::1]:80?x", b"https://a\\b", b"/\xe9",
    b"/\x7f", b"/\0", b"/a b", b"/\t", b"*a", b"a:", b":80", b"[::1]:80", b"a/b:80", b"u@a:80", b"a:99999",
    b"http://?", b"HTTP/1.1", b"/ HTTP/1.1", b"http://a,b/", b"\\", b"/\x80", b"-", b"http://%41:080/",
]  # fmt: skip
VERSIONS: Final = [
    b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.1", b"HTTP/1", b"HTTP/1.", b"HTTP/1.10",
    b"HTTP/01.1", b"http/1.1", b"HTTP/ 1.1", b"HTTP/1.1 ", b"HTTP/1,1", b"HTTP/-1.1", b"HTTP/a.b",
    b"HTCPCP/1.0", b"RTSP/1.0", b"ICE/1.0", b"", b"HTTP", b"HTTP/1.1\x0b", b"HTTP/\xb2.1", b"HTTPS/1.1",
]  # fmt: skip
FIELD_LINES: Final = [
    b" folded", b"\tfolded", b"X: y\r\n folded", b"X: y\r\n\tfolded", b"X", b":", b": y", b"X:", b"X : y",
    b"X\t: y", b"X\0: y", b"X: \0", b"X: \x7f", b"X: \x01", b"X: \x0b", b"X: \x0c y", b"X: y\x0b",
    b"X: y\x0c", b"X: y\x1f", b"X: y\x00", b"X: a\rb", b"X: a\nb", b"X: a\nContent-Length: 5", b"X: y \t ",
    b"X: \xff\x80", b"\xe9: y", b"X(): y", b"X@: y", b"X\"Y: z", b"(: y", b"Connection: close",
    b"Connection: keep-alive", b"Connection: Upgrade\r\nUpgrade: h2c", b"Connection: close\r\nConnection: x",
    b"Connection: keep-alive\r\nConnection: close", b"Expect: 100-continue", b"Expect: 100-CONTINUE",
    b"Expect: x", b"Expect:", b"Expect: 100-continue, x", b"Expect: 100-continue\r\nExpect: 100-continue",
    b"Upgrade: websocket", b"Connection: \x0b close", b"Proxy-Connection: close", b"Connection:",
    b"Connection: ,", b"Connection: clo\tse", b"X\xa0: y", b"X:\xa0y", b"X_Y: z",
]  # fmt: skip
FRAMING_LINES: Final = [
    b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 05", b"Content-Length: +5",
    b"Content-Length: -5", b"Content-Length: 5, 5", b"Content-Length: 5,6",
    b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 0x5",
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 1_0", b"Content-Length:",
    b"Content-Length: 5 5", b"Content-Length : 5", b"Content-Length: 5\x0b", b"Content-Length: \xb2",
    b"Content-Length: 5;", b"Content-Length: 5.0", b"Content-Length: 999999999999999999",
    b"Content-Length: 9999999999999999999", b"Content-Length: 18446744073709551621",
    b"Content-Length: 0000000000000000005", b"content-length:5\t", b"Content-Length: ,",
    b"Content-Length: 5,", b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: identity", b"Transfer-Encoding:",
    b"Transfer-Encoding: x", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: , chunked",
    b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding: chunke",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding:", b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding:chunked \t",
    b"Transfer_Encoding: chunked", b"Transfer-Encoding: chu nked", b"Transfer-Encoding: chunked\r\n , x",
    b"Content-Length: 3\r\nTransfer-Encoding: identity", b"Transfer-Encoding: deflate",
    b"Transfer-Encoding: gzip", b"Transfer-Encoding: ,", b"TE: chunked", b"Transfer-Encoding: \xe9",
]  # fmt: skip
BODIES: Final = [
    b"12345", b"\r\n", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n\r\n",
    b"5\r\n12345\r\n0\r\n\r\n", b"\n", b"\r", b"x",
]  # fmt: skip
SIZES: Final = [
    b"5", b"0", b"05", b"a", b"A", b"-1", b"+5", b"0x5", b"5 ", b" 5", b"", b"g", b"5\t", b"1_0",
    b"ffffffffffffffff", b"10000000000000000", b"00000000000000005", b"\xb2", b"5.", b"5,5",
    b"7fffffffffffffff", b"5\0", b"5\x0b", b"80000000", b"5 ;a",
]  # fmt: skip
EXTENSIONS: Final = [
    b";a", b";a=b", b";a=\"b\"", b"; a = b", b";a=\"\"", b";a=\"\\\"\"", b";\ta\t=\tb", b";a=\";b\"",
    b";a=\"\xe9\"", b";!#$%=1", b";a=\"\\\\\"",
]  # fmt: skip
ODD_EXTENSIONS: Final = [
    b";", b";;", b"; ", b";a=", b";=b", b";a=\"b", b";a=b\"", b" ;a", b";a ", b";a\0", b";a=\"\0\"",
    b";a\x0b", b";a\rb", b";a\nb", b";a b", b";a=\"\\", b";a=\"b\"c", b"a", b"=b", b";\xe9", b";a=\"\r\"",
    b";a=\"\n\"", b";a=\x7f", b";a=\"\x7f\"", b";a;", b" ;a=\"", b";a=b;c=d", b";a \t ;b", b";a=\" \t\"",
    b" ", b"\t", b";a=(b)",
]  # fmt: skip
BLANKS: Final = [b" ", b"  ", b"\t", b"", b"\x0b", b"\x0c", b"\xa0", b" \t", b"\r\n", b"\n", b"\r"]
LINE_ENDS: Final = [
    b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b" \r\n", b"\t\r\n", b"\r\n ", b"\0\r\n", b"\n\n",
    b"\x0b\r\n", b"\r\n\r",
]  # fmt: skip
CHUNKED_HEADS: Final = [
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
]  # fmt: skip
FRAGMENTS: Final = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n\r\n", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff",
    b"#", b"*", b"/", b"\r\n ", b"0\r\n\r\n", b",", b";", b"\"", b"\\", b"%", b"@", b"[", b"]", b"_",
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"GET ", b"POST ", b"CONNECT ", b"http://a", b"Host: a\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Upgrade: x\r\n", b"Connection: upgrade\r\n",
    b"Expect: 100-continue\r\n", b"5\r\n12345\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", b"1", b"\r\n\r", b"\xc2\xa0", b"\xe2\x84\xaa",
]  # fmt: skip

# Bytes that mean something to one parser or another.
TELLING: Final = b'\0\t\n\x0b\r\x1f "#%*+,-/05:;=@A_a|\x7f\x80\xff'
# One request with a part of each kind, and one with the other kind of body.
BYTEWISE: Final = [
    b"PUT /a?b HTTP/1.1\r\nHost: a:1\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'2;c="d"\r\nab\r\n0\r\nT: u\r\n\r\n',
    b"POST http://a/b HTTP/1.0\r\nHost:\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
]
_POST: Final = b"POST /p HTTP/1.1\r\nHost: a\r\n"
# What stands before a place, what may stand there, and what stands behind it.
FLAWS: Final[dict[str, tuple[bytes, list[bytes], bytes]]] = {
    "in front": (b"", [*FRAGMENTS, *LINE_ENDS], SMALL),
    "method": (b"", [*RAW_METHODS, b"", b"G@T", b"G\xc9T", b"GET,"], b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target": (b"GET ", ODD_TARGETS, b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target of OPTIONS": (b"OPTIONS ", ODD_TARGETS, b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target of CONNECT": (b"CONNECT ", ODD_TARGETS, b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target without Host": (b"GET ", ODD_TARGETS, b" HTTP/1.0\r\n\r\n"),
    "target with an empty Host": (b"GET ", ODD_TARGETS, b" HTTP/1.1\r\nHost:\r\n\r\n"),
    "first blank": (b"GET", BLANKS, b"/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "second blank": (b"GET /", BLANKS, b"HTTP/1.1\r\nHost: a\r\n\r\n"),
    "version": (b"GET / ", VERSIONS, b"\r\nHost: a\r\n\r\n"),
    "line end": (b"GET / HTTP/1.1", LINE_ENDS, b"Host: a\r\n\r\n"),
    "host": (b"GET / HTTP/1.1\r\n", [*HOST_LINES, *(b"Host: " + host for host in HOSTS)], b"\r\n\r\n"),
    "host of HTTP/1.0": (b"GET / HTTP/1.0\r\n", HOST_LINES, b"\r\n\r\n"),
    "first field": (b"GET / HTTP/1.1\r\n", FIELD_LINES, b"\r\nHost: a\r\n\r\n"),
    "last field": (b"GET / HTTP/1.1\r\nHost: a\r\n", FIELD_LINES, b"\r\n\r\n"),
    "end of a field": (b"GET / HTTP/1.1\r\nX: y", LINE_ENDS, b"Host: a\r\n\r\n"),
    "end of a head": (b"GET / HTTP/1.1\r\nHost: a\r\n", LINE_ENDS, SMALL),
    "framing": (_POST, FRAMING_LINES, b"\r\n\r\n12345"),
    "framing of HTTP/1.0": (b"POST /p HTTP/1.0\r\n", FRAMING_LINES, b"\r\n\r\n12345"),
    "framing beside a length": (_POST + b"Content-Length: 5\r\n", FRAMING_LINES, b"\r\n\r\n12345"),
    "framing beside chunks": (_POST + b"Transfer-Encoding: chunked\r\n", FRAMING_LINES, b"\r\n\r\n0\r\n\r\n"),
    "framing of chunks": (_POST, FRAMING_LINES, b"\r\n\r\n5\r\n12345\r\n0\r\n\r\n"),
    "size": (CHUNKED_HEADS[0], SIZES, b"\r\n12345\r\n0\r\n\r\n"),
    "last size": (CHUNKED_HEADS[0] + b"1\r\n2\r\n", SIZES, b"\r\n\r\n"),
    "extension": (CHUNKED_HEADS[0] + b"5", [*EXTENSIONS, *ODD_EXTENSIONS], b"\r\n12345\r\n0\r\n\r\n"),
    "last extension": (CHUNKED_HEADS[0] + b"0", [*EXTENSIONS, *ODD_EXTENSIONS], b"\r\n\r\n"),
    "end of a size": (CHUNKED_HEADS[0] + b"5", LINE_ENDS, b"12345\r\n0\r\n\r\n"),
    "end of a chunk": (CHUNKED_HEADS[0] + b"5\r\n12345", LINE_ENDS, b"0\r\n\r\n"),
    "trailer": (CHUNKED_HEADS[0] + b"0\r\n", [*FIELD_LINES, *FRAMING_LINES, *HOST_LINES], b"\r\n\r\n"),
    "end of a trailer": (CHUNKED_HEADS[0] + b"0\r\nX: y", LINE_ENDS, b"\r\n"),
    "end of a body": (CHUNKED_HEADS[0] + b"0\r\n", LINE_ENDS, SMALL),
}  # fmt: skip

FORWARDED_NAMES: Final = [
    b"X-Forwarded-For: ", b"X-Forwarded-Proto: ", b"X-Forwarded-Protocol: ", b"X-Forwarded-Ssl: ",
    b"X-Forwarded-Host: ", b"X-Forwarded-Port: ", b"X-Forwarded-Prefix: ", b"Forwarded: ",
    b"X_Forwarded_For: ", b"x-forwarded-FOR: ", b"X-Real-IP: ",
]  # fmt: skip
FORWARDED_WORDS: Final = [
    b"http", b"https", b"HTTPS", b"wss", b"ftp", b"on", b"off", b"ssl", b"a", b"a:80", b"b.example",
    b"[::1]:8080", b"80", b"0", b"65536", b"443, 443", b"443, 80", b"/p", b"/p/", b"p", b"/", b"/a/../b",
    b"/%2e%2e", b"/a//b", b"/%", b"", b",", b"\xe9", b"\"\"", b"\"", b"\"a\\\"b\"", b"a=b", b"http,https",
    b"a b", b"/\xff", b"/%2f", b"/%0d%0a", b"\"a:80\"", b"\"\\", b"/a;b", b"\xb2", b"/a,/a",
]  # fmt: skip
FORWARDED: Final = [
    b"for=192.0.2.1", b"for=10.0.0.1;proto=https", b"For=\"[2001:db8::1]:80\"; Host=b.example",
    b"proto=http;host=\"a:80\"", b"for=unknown", b"for=_x;by=\"_y\"",
    b"host=B.example;proto=HTTPS;for=198.51.100.7", b"by=x",
]  # fmt: skip
FORWARDED_LINES: Final = [
    b"X-Forwarded-Proto: http", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: b.example",
    b"X-Forwarded-Host: B.example:80", b"X-Forwarded-Port: 80", b"X-Forwarded-Port: 8443",
    b"X-Forwarded-Prefix: /p", b"X-Forwarded-Prefix: /p/", b"X-Forwarded-Prefix: /%70",
    b"X-Forwarded-Ssl: on", b"X_Forwarded_For: 1.2.3.4", b"X-Real-IP: 1.2.3.4",
]  # fmt: skip
HOPS: Final = [
    b"10.0.0.1", b"192.0.2.1", b"198.51.100.7", b"198.51.100.7:80", b"::1", b"[::1]", b"[::1]:80",
    b"[2001:db8::1]:99999", b"unknown", b"_x", b"_x:_y", b"unix:", b"1.2.3", b"1.2.3.4.5", b"01.2.3.4",
    b"::ffff:10.0.0.1", b"fe80::1%eth0", b"", b"a", b"\xe9", b"1.2.3.4:", b"10.0.0.1:_p", b"[10.0.0.1]",
    b"[::1", b"10.0.0.1\t", b"unknown:80", b"-1", b"1.2.3.4\xb2", b"localhost", b"[]", b"[fe80::1%251]",
]  # fmt: skip
PROXY_HEADERS: Final = [
    b"", b"PROXY", b"PROXY \r\n", b"PROXY UNKNOWN\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", b"PROXY TCP6 ::1 ::1 1 2\r\n", b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n", b"PROXY UNKNOWN\r\r\n", b"proxy UNKNOWN\r\n",
    b"PROXY TCP4 999.2.3.4 1.2.3.4 1 2\r\n", b"PROXY UNKNOWN" + b" " * 92 + b"\r\n",
    b"PROXY UNKNOWN" + b" " * 93 + b"\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x0c" + b"x" * 12, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b" + b"x" * 11,
    b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c" + b"x" * 12, b"\r\n\r\n\0\r\nQUIT\n\x22\x11\0\x0c" + b"x" * 12,
    b"\r\n\r\n\0\r\nQUIT\n\x21\x41\0\x0c" + b"x" * 12,
    b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + b"/a" + bytes(214),
    b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c" + b"x" * 12, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10" + b"x" * 12 + b"\3\0\4a",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13" + b"x" * 12 + b"\3\0\4aaaa", b"\r\n\r\n\0\r\nQUIT",
]  # fmt: skip
