"""TLS without a proxy, with certificates of clients."""

import os
import ssl

bind = "127.0.0.1:0"
workers = 1
certfile = os.environ.get("TLS_CERT", "tls/server.pem")
keyfile = os.environ.get("TLS_KEY", "tls/server.key")
ca_certs = os.environ.get("TLS_CA", "tls/ca.pem")
cert_reqs = ssl.CERT_REQUIRED
do_handshake_on_connect = True
suppress_ragged_eofs = True
wsgi_app = "main:app"


def ssl_context(config, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
