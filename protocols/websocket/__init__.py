"""WebSocket (RFC 6455) on a connection that began with HTTP/1.1.

The way through it: an adapter's exchange holds the `handshake`; when the application accepts, a
`connection` takes over the transport. `frames` cuts what comes into messages: the common ones
itself, all others with the help of wsproto (`unusual`). `deflate` is permessage-deflate (RFC 7692),
`masking` the XOR of what clients send, `closing` knows the codes.
"""
