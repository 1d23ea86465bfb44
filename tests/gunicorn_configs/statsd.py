"""Metrics for statsd, with tags as Datadog has them."""

import os

bind = "127.0.0.1:0"
workers = 1
statsd_host = os.environ.get("STATSD_HOST", "localhost:8125")
statsd_prefix = "shop"
dogstatsd_tags = "env:test,region:eu"
wsgi_app = "main:app"
