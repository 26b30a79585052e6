"""What of a configuration is released: the last part of paths, and class names whole."""

from __future__ import annotations

from dpgen.config import Config


def test_a_slash_in_a_class_name_is_not_a_path() -> None:
    data = {"private": "ward/7/train", "classes": ["T-shirt/top", "Bag"]}
    config = Config.model_validate(
        {"privacy": {"epsilon": 1.0}, "data": data, "method": {"name": "dpdm"}, "run": {"name": "x"}}
    )
    public = config.public()["data"]
    assert public["classes"] == ["T-shirt/top", "Bag"]
    assert public["private"] == "train"
