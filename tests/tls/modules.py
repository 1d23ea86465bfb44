"""A configuration file that tells which of the modules for TLS a worker has loaded, at its end."""

import sys
from typing import Any


def worker_exit(server: Any, worker: Any) -> None:
    names = ("certificate", "tls_", "x509", "clienthello", "servername", "noticeboard")
    loaded = [
        name for name in sys.modules if name.startswith("aserve.") and any(each in name for each in names)
    ]
    print(f"loaded: {loaded}", flush=True)
