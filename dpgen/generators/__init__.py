"""What a generator plugin builds on."""

from dpgen.generators.base import API_VERSION, Generator, GeneratorConfig, PublicInfo, Tags, Task

__all__ = ["API_VERSION", "Generator", "GeneratorConfig", "PublicInfo", "Tags", "Task"]
