"""Bytes to messages: HTTP/1.1 as one connection class with two parsers, and WebSocket.

Nothing in this package knows of applications, processes or configuration files.
The way through it: `group` keeps the connections of one event loop, `http1` is one
connection, `request` reads heads with the help of a parser (`parser_httptools`,
`parser_h11`), `policy` says what is refused, `exchange` is one request (`incoming`) with its
response, `response` knows the fields of the response's head, `extended` has the rarer parts of
responses, `filebody` sends files, `states` names the states. `websocket` is the protocol that a
connection can go over to.
"""
