"""Values are computed from the environment, and told."""

import json
import multiprocessing
import os

workers_per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
cores = multiprocessing.cpu_count()
web_concurrency = os.getenv("WEB_CONCURRENCY")
workers = int(web_concurrency) if web_concurrency else max(int(workers_per_core * cores), 2)
bind = os.getenv("BIND") or f"{os.getenv('HOST', '0.0.0.0')}:{os.getenv('PORT', '80')}"
loglevel = os.getenv("LOG_LEVEL", "info")
accesslog = os.getenv("ACCESS_LOG", "-") or None
errorlog = os.getenv("ERROR_LOG", "-") or None
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
timeout = int(os.getenv("TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))
worker_tmp_dir = "/dev/shm"

for _name, _value in os.environ.items():
    if _name.startswith("GUNICORN_") and _name != "GUNICORN_CMD_ARGS":
        globals()[_name.removeprefix("GUNICORN_").lower()] = _value

print(json.dumps({"loglevel": loglevel, "workers": workers, "bind": bind, "timeout": timeout}), flush=True)
