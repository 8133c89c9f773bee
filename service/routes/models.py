"""`GET /models` and `GET /languages`: what is served."""

from fastapi import APIRouter

from nmt.text import languages
from service.dependencies import RegistryDep, SettingsDep
from service.replies import model_name
from service.schemas import LanguageReply, LanguagesReply, ModelReply, ModelsReply

router = APIRouter(tags=["models"])


@router.get("/models")
async def list_models(registry: RegistryDep) -> ModelsReply:
    """All models, the default first."""
    return ModelsReply(
        models=[
            ModelReply(
                **model_name(model).model_dump(),
                directions=model.translator.directions,
                parameters=model.parameters,
                precision=model.translator.precision,
                default=number == 0,
            )
            for number, model in enumerate(registry.models)
        ]
    )


@router.get("/languages")
async def list_languages(settings: SettingsDep, registry: RegistryDep) -> LanguagesReply:
    """All source languages, with what each can be translated into."""
    targets: dict[str, set[str]] = {}
    for model in registry.models:
        for source, target in model.translator.directions:
            targets.setdefault(source, set()).add(target)
    return LanguagesReply(
        languages=[
            LanguageReply(code=code, name=languages.name(code), targets=sorted(own))
            for code, own in sorted(targets.items())
        ],
        max_n_best=settings.max_beam_size,
    )
