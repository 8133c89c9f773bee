"""The application, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from service import errors
from service.access_log import AccessLog
from service.connection import Connection
from service.openapi import describe_limits
from service.registry import Registry
from service.routes import evaluate, health, models, translate
from service.security import SecurityHeaders
from service.settings import Settings

_WEB = Path(__file__).parent / "web"
_ROUTERS = (translate.router, evaluate.router, models.router, health.router)


def create_app(registry: Registry, settings: Settings) -> FastAPI:
    """An app whose models begin to answer when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        registry.start()
        app.state.registry = registry
        yield
        app.state.registry = None
        await run_in_threadpool(registry.close)

    app = FastAPI(
        title="nmt",
        description="Translation with models of your own, every word traceable to where it came from.",
        lifespan=lifespan,
        docs_url=None,  # the framework's own page fetches its scripts from a third-party host
        redoc_url=None,
        redirect_slashes=False,  # to an address that the client's own Host header says
    )
    app.state.settings, app.state.registry, app.state.ending = settings, None, False
    errors.install(app)
    app.add_middleware(
        Connection,
        max_bytes=settings.max_body_bytes,
        seconds=settings.deadline_seconds,
        ending=lambda: app.state.ending,
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1", responses=errors.described(router))
        app.include_router(router, include_in_schema=False)
    describe_limits(app, settings)
    for folder in ("static", "vendor"):
        app.mount(f"/{folder}", StaticFiles(directory=_WEB / folder))
    app.add_api_route("/", lambda: FileResponse(_WEB / "index.html"), include_in_schema=False)
    app.add_api_route("/docs", lambda: FileResponse(_WEB / "docs.html"), include_in_schema=False)
    return app
