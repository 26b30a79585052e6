"""The settings of Private Evolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dpgen.generators.base import GeneratorConfig


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ApiSettings(_Settings):
    """Where images come from: random ones, and variations of given ones. All of it public."""

    source: str = "public"
    """`public`: the public set; `generator:NAME`: a registered generator, trained on the public set alone;
    `MODULE:FUNCTION`: what that function returns"""
    options: dict[str, Any] = Field(default_factory=dict)
    """settings of the source: of the public set's variations, of the generator, or arguments of the function"""
    by_name: bool = False
    """ask for random images of each class by its name, which is a public fact; else for any images"""


class VotingSettings(_Settings):
    """How private images vote for the images of their class."""

    votes: int = Field(default=1, ge=1)
    """images that one private image votes for: its nearest ones"""
    threshold: float = Field(default=1.7, ge=0)
    """noisy counts below this many deviations of their noise count as 0"""
    lookahead: int = Field(default=4, ge=0)
    """variations of an image whose mean features stand for it; 0: its own features do"""
    features: str = "public_cnn"
    """name of the feature extractor that distances are measured in"""
    weights: Path | None = None
    """file of weights, for an extractor that needs one"""
    feature_steps: int = Field(default=700, ge=1)
    """training of `public_cnn` on the public set"""


class PeConfig(GeneratorConfig):
    """Settings of Private Evolution."""

    api: ApiSettings = Field(default_factory=ApiSettings)
    population: int = Field(default=500, ge=1)
    """images of each class that evolve, and of which samples are drawn"""
    degrees: tuple[float, ...] = Field(default=(0.6, 0.4, 0.3, 0.2, 0.1), min_length=1)
    """how far the survivors of each round are varied, in [0, 1]; as many rounds as there are degrees"""
    voting: VotingSettings = Field(default_factory=VotingSettings)
