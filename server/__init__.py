"""aserve: one production server for ASGI and WSGI applications."""

__version__ = "0.1.0"
