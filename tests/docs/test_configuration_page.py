"""Each configuration key is documented, with its default where that is a plain value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from dpgen.config import Config
from dpgen_plugins.diffusion.dp_feta import DpFetaConfig
from dpgen_plugins.diffusion.dp_ldm import DpLdmConfig
from dpgen_plugins.diffusion.dp_lora import DpLoraConfig
from dpgen_plugins.diffusion.dpdm import DpdmConfig
from dpgen_plugins.diffusion.feta_pro import FetaProConfig
from dpgen_plugins.diffusion.pdp_diffusion import PdpDiffusionConfig
from dpgen_plugins.diffusion.privimage import PrivImageConfig
from dpgen_plugins.evolution.settings import PeConfig
from dpgen_plugins.gan.dpgan import DpganConfig
from dpgen_plugins.gan.gs_wgan import GsWganConfig
from dpgen_plugins.kernel.dp_kernel import DpKernelConfig
from dpgen_plugins.kernel.dp_merf import DpMerfConfig
from dpgen_plugins.kernel.dp_ntk import DpNtkConfig
from dpgen_plugins.vae.dp_vae import DpVaeConfig
from dpgen_plugins.vae.lipschitz_vae import LipschitzVaeConfig

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text()


def keys(model: type[BaseModel], under: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{under}{name}.")
        else:
            yield under + name


METHODS = (PrivImageConfig, DpdmConfig, PdpDiffusionConfig, DpLdmConfig, DpLoraConfig, DpFetaConfig, FetaProConfig)
OTHERS = (
    DpMerfConfig,
    DpNtkConfig,
    DpKernelConfig,
    PeConfig,
    DpganConfig,
    GsWganConfig,
    DpVaeConfig,
    LipschitzVaeConfig,
)
SETTINGS = {key for config in (*METHODS, *OTHERS) for key in keys(config)}


def section(name: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## [{name}]\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("key", [key for key in keys(Config) if not key.startswith("method.")])
def test_each_key_is_documented(key: str) -> None:
    table, name = key.split(".")
    assert f"`{name}`" in section(table)


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_each_setting_of_the_methods_is_documented(key: str) -> None:
    assert f"`{key}`" in section("method")


def test_no_setting_is_documented_that_does_not_exist() -> None:
    tables = {key.partition(".")[0] for key in SETTINGS if "." in key}
    documented = set(re.findall(rf"`((?:{'|'.join(sorted(tables))})\.\w+)`", section("method")))
    assert documented == {key for key in SETTINGS if "." in key}
