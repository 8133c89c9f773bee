"""What routes ask for. Asynchronous, because the framework hands all else to a thread, for each request."""

from typing import Annotated

from fastapi import Depends, Request

from nmt.errors import EngineStopped
from service.registry import Registry
from service.settings import Settings


async def get_settings(request: Request) -> Settings:
    """The settings that the app was made with."""
    settings: Settings = request.app.state.settings
    return settings


async def get_registry(request: Request) -> Registry:
    """The models, once they are loaded."""
    registry: Registry | None = request.app.state.registry
    if registry is None or not registry.ready:
        raise EngineStopped("the service is not ready: its models are loading or have stopped; try again in a moment")
    return registry


SettingsDep = Annotated[Settings, Depends(get_settings)]
RegistryDep = Annotated[Registry, Depends(get_registry)]
