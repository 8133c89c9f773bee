"""`GET /livez` and `GET /readyz`."""

from fastapi import APIRouter

from service.dependencies import RegistryDep
from service.schemas import Status

router = APIRouter(tags=["health"])


@router.get("/livez")
async def live() -> Status:
    """The process answers."""
    return Status()


@router.get("/readyz")
async def ready(_registry: RegistryDep) -> Status:
    """The models are loaded and translate; 503 until then."""
    return Status()
