"""Django Channels: consumers that echo, and a group that everybody in a room hears."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="only for tests",
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.generic.websocket import (  # noqa: E402
    AsyncJsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


class Room(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """What one says, all hear."""

    async def connect(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept("room" if "room" in self.scope["subprotocols"] else None)

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive_json(self, content: Any, **_: Any) -> None:
        await self.channel_layer.group_send("room", {"type": "say", "content": content})

    async def say(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])


class Blocking(WebsocketConsumer):  # type: ignore[misc]
    """One that runs in a thread."""

    def connect(self) -> None:
        if self.scope["query_string"] == b"no":
            self.close()
        else:
            self.accept()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=text_data, bytes_data=bytes_data)
        if text_data == "bye":
            self.close(4005, "bye yourself")


def index(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("django")


urlpatterns = [path("", index)]

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("room", Room.as_asgi()), path("blocking", Blocking.as_asgi())]),
    }
)
