"""`nmt serve`."""

import difflib
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from nmt.config import describe
from nmt.errors import ConfigError
from service.app import create_app
from service.registry import Registry
from service.server import Server
from service.settings import Settings, unknown_variables, variables

_log = logging.getLogger(__name__)


def serve(
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Model folder, or NAME=FOLDER; may be repeated. Default: NMT_MODELS."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Default: NMT_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: NMT_PORT, or 8000.")] = None,
) -> None:
    """Serve translation over HTTP, with a page to try it on."""
    given: dict[str, Any] = {"models": model or None, "host": host, "port": port}
    try:
        settings = Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(f"settings (NMT_… variables and options): {describe(error, Settings)}") from error
    except SettingsError as error:  # only `models` is read as JSON before it is checked
        raise ConfigError(f'NMT_MODELS is not valid JSON: {error.__cause__}; wanted: ["FOLDER", …]') from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name in unknown_variables(os.environ):
        near = difflib.get_close_matches(name, variables(), 1)
        _log.warning("%s in the environment is no setting%s", name, f"; did you mean {near[0]}?" if near else "")
    # Before the server starts, which would say in 30 lines why it cannot.
    listening = _bound(settings.host, settings.port)
    app = create_app(Registry.load(settings), settings)
    host, port = listening.getsockname()[:2]
    where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    typer.echo(f"The page: {where}/   The API: {where}/docs   (ready when {where}/readyz says ok)", err=True)
    # The server finishes what it has accepted, then raises the signal once more: that is the end, and a good one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(app).run([listening])


def _bound(host: str, port: int) -> socket.socket:
    """What is listened on; port 0 takes one that is free."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # behind which Python says the address once more
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {reason}; choose another with --host and --port, or "
            "NMT_HOST and NMT_PORT"
        ) from error
