"""Where a run's image API and its feature extractor come from, by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from pydantic import ValidationError

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.evaluation.extractor import FeatureExtractor, Setting
from dpgen.evaluation.recipe import Recipe
from dpgen.generators.base import Generator
from dpgen.generators.image_api import ImageApi, OffersImageApi
from dpgen.mechanisms.context import RunContext
from dpgen.plugins.registry import default_registry
from dpgen_plugins.evolution.public_api import PublicImages, PublicOptions
from dpgen_plugins.evolution.settings import ApiSettings, VotingSettings
from dpgen_plugins.evolution.voting import Extract

PUBLIC: Final = "public"
GENERATOR: Final = "generator:"

Make = Callable[..., ImageApi]
"""A user's function: (info, public or None, **options) -> an `ImageApi`."""


def build_api(
    settings: ApiSettings, info: DatasetInfo, public: PublicDataset | None, extract: Extract, context: RunContext
) -> ImageApi:
    """The API that the settings name; its training, if it has any, sees `public` alone.

    Raises: as `check_api`; `InvalidValue` where a user's function returns something else.
    """
    source, options = settings.source, settings.options
    if source == PUBLIC or source.startswith(GENERATOR):
        assert public is not None, "plan refused to go on without it"
        if source == PUBLIC:
            return PublicImages(public, extract, PublicOptions.model_validate(options))
        return _offering(settings).image_api(public, context)
    api = _function(source)(info, public, **options)
    if not isinstance(api, ImageApi):
        raise InvalidValue(
            f"api.source: {source} must return a dpgen.generators.image_api.ImageApi; found {type(api).__name__}."
        )
    return api


def check_api(settings: ApiSettings) -> str | None:
    """What of it needs a public set, as it would be written; None where nothing does. Nothing is trained.

    Raises: `InvalidValue` for options that do not fit, or a generator or function that is no source of images;
    `UnknownName` for a generator that nobody registered.
    """
    source = settings.source
    if source == PUBLIC:
        try:
            PublicOptions.model_validate(settings.options)
        except ValidationError as error:
            raise InvalidValue(f"api.options: {_first(error)}. See `PublicOptions`.") from None
    elif source.startswith(GENERATOR):
        _offering(settings)
    else:
        _function(source)
        return None
    return f'api.source = "{source}"'


def build_extractor(
    settings: VotingSettings, info: DatasetInfo, public: PublicDataset | None, context: RunContext
) -> FeatureExtractor:
    """The space that distances are measured in. Raises: `DataError` naming what it lacks."""
    recipe = Recipe(feature_steps=settings.feature_steps, augmentation=Recipe.for_shape(info.shape).augmentation)
    return (
        default_registry()
        .feature_extractor(settings.features)
        .build(
            Setting(
                shape=info.shape,
                public=public,
                weights=settings.weights,
                recipe=recipe,
                seed=context.seed,
                device=context.device,
                progress=context.progress,
            )
        )
    )


def check_extractor(settings: VotingSettings) -> str | None:
    """As `check_api`. Raises: `UnknownName`; `InvalidValue` where a file of weights is needed and not given."""
    needs = default_registry().feature_extractor(settings.features).needs
    if "weights" in needs and settings.weights is None:
        raise InvalidValue(f'voting.features = "{settings.features}" needs a file; found none. Set `voting.weights`.')
    return f'voting.features = "{settings.features}"' if "public" in needs else None


def _offering(settings: ApiSettings) -> OffersImageApi:
    name = settings.source.removeprefix(GENERATOR)
    kind: type[Generator] = default_registry().generator(name)
    if not issubclass(kind, OffersImageApi):
        raise InvalidValue(
            f"api.source: the generator {name!r} makes no images before it has seen private ones. Take one that "
            "extends dpgen.generators.image_api.OffersImageApi, such as pdp_diffusion."
        )
    try:
        return kind(kind.Config.model_validate(settings.options))
    except ValidationError as error:
        raise InvalidValue(f"api.options: {_first(error)}. They are the settings of {name!r}.") from None


def _function(source: str) -> Make:
    module, colon, name = source.partition(":")
    try:
        found = getattr(import_module(module), name) if colon else None
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValue(f"api.source: cannot import {source!r} ({type(error).__name__}: {error}).") from error
    if not callable(found):
        raise InvalidValue(
            f"api.source must be 'public', 'generator:NAME' or 'MODULE:FUNCTION'; found {source!r}. Name one of them."
        )
    function: Make = found
    return function


def _first(error: ValidationError) -> str:
    details = error.errors()[0]
    return f"{'.'.join(map(str, details['loc']))}: {details['msg']}"
