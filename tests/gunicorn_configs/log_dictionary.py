"""Both logs by a dictionary of logging's."""

bind = "127.0.0.1:0"
workers = 1
threads = 2
accesslog = "-"
wsgi_app = "main:app"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(levelname)s|%(name)s|%(message)s"}},
    "handlers": {
        "errors": {"class": "logging.FileHandler", "filename": "errors.log", "formatter": "short"},
        "access": {"class": "logging.FileHandler", "filename": "access.log", "formatter": "short"},
    },
    "loggers": {
        "gunicorn.error": {"handlers": ["errors"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
    "root": {"handlers": ["errors"], "level": "WARNING"},
}
