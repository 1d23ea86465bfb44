"""A Django project in one file, as WSGI and as ASGI.

`aserve --chdir examples django_app` serves `application` (WSGI), `aserve --chdir examples
django_app:asgi` the other one. A real project has both in its wsgi.py and asgi.py.
"""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("DJANGO_SECRET_KEY", "for this example only"),
)
django.setup()


def hello(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"message": "Hello from Django, served by aserve"})


def item(request: HttpRequest, item: int) -> JsonResponse:
    return JsonResponse({"item": item, "q": request.GET.get("q")})


urlpatterns = [path("", hello), path("items/<int:item>", item)]

application = get_wsgi_application()
asgi = get_asgi_application()
