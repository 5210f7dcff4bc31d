"""GET /info: what is served."""

from importlib.metadata import version

from fastapi import APIRouter

from index.items import Modality
from model.preprocess import MAX_PIXELS, MAX_TEXT_CHARACTERS
from service.api.deps import ResourcesDep
from service.api.rendering import index_ref
from service.api.state_schemas import IndexInfo, Info, Limits, ModelInfo

router = APIRouter(tags=["service"])


@router.get("/info")
async def info(resources: ResourcesDep) -> Info:
    """The model, the index, the limits on requests, and the kind of cache."""
    generation = resources.generations.current
    runtime, index = generation.encoder.runtime, generation.collection
    return Info(
        version=version("aahr"),
        model=ModelInfo(
            name=runtime.name,
            model_id=runtime.model_id,
            dimension=runtime.dimension,
            accepts=[Modality.TEXT, *([Modality.IMAGE] if runtime.accepts_pixels else [])],
        ),
        index=IndexInfo(
            **index_ref(index).model_dump(),
            created_at=index.created_at,
            images=index.count(Modality.IMAGE),
            texts=index.count(Modality.TEXT),
        ),
        limits=Limits(
            max_body_bytes=resources.settings.max_body_bytes,
            max_text_characters=MAX_TEXT_CHARACTERS,
            max_image_pixels=MAX_PIXELS,
        ),
        cache=resources.cache.name,
    )
