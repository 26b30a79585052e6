"""Diffusion samplers shared by generator plugins: one method a file."""

from dpgen.generators.samplers.ddim import sample_ddim
from dpgen.generators.samplers.heun import Churn, sample_heun
from dpgen.generators.samplers.image_random import ImageRandom
from dpgen.generators.samplers.schedule import Denoiser, noise_levels

__all__ = ["Churn", "Denoiser", "ImageRandom", "noise_levels", "sample_ddim", "sample_heun"]
