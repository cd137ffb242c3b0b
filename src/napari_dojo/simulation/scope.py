"""The simulated microscope: light that an object gives, through a lens, in fluorescence or phase contrast."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_dojo.data.optics import Camera
from napari_dojo.simulation.base import Floats, Rng
from napari_dojo.simulation.fields import illumination, smooth_noise, units_of, wide_blur

__all__ = ["Microscope"]


@dataclass(frozen=True)
class Microscope:
    """How the sample is looked at.

    Attributes
    ----------
    na, wavelength : numerical aperture; wavelength of the light in um.
    pixel_size : um per pixel in Y and X; 0 lets the kind's usual size in um at the asked diameter decide.
    anisotropy : distance of two planes over ``pixel_size``, in volumes.
    photons : caught from one pixel of an object of brightness 1; in phase contrast, of the empty slide. The signal
        to noise ratio in an object is about the root of this.
    background : light between the objects over that of an object.
    unevenness : loss of light towards the dim corner.
    haze : part of the light that comes from out of focus and lies around the objects as a glow.
    contrast : "fluorescence", or "phase": dark objects with a bright halo on a grey ground.
    camera : see `napari_dojo.data.optics.Camera`.
    """

    na: float = 0.75
    wavelength: float = 0.52
    pixel_size: float = 0.0
    anisotropy: float = 2.0
    photons: float = 300.0
    background: float = 0.06
    unevenness: float = 0.3
    haze: float = 0.12
    contrast: str = "fluorescence"
    camera: Camera = field(default_factory=Camera)

    def voxel(self, ndim: int) -> tuple[float, ...]:
        """Size of a pixel, um, for 2 or 3 dimensions."""
        return (self.pixel_size * self.anisotropy, self.pixel_size, self.pixel_size)[3 - ndim :]

    def photons_of(self, light: Floats, diameter: float, rng: Rng) -> Floats:
        """Expected photons of each pixel in fluorescence; ``light`` (C, *S) is 1 in an object of brightness 1."""
        units = units_of(light.ndim - 1, self.anisotropy)
        glow = wide_blur(light, [0.0, *(0.6 * diameter / units)])
        ground = np.stack([smooth_noise(light.shape[1:], 2.0 * diameter / units, rng) for _ in light])
        ground = self.background * np.maximum(1 + 0.2 * ground, 0.1)
        seen = (1 - self.haze) * light + self.haze * glow + ground
        return np.asarray(self.photons * seen * illumination(light.shape[1:], self.unevenness, rng), np.float32)

    def photons_through(self, thickness: Floats, diameter: float, rng: Rng) -> Floats:
        """Expected photons of each pixel (1, *S) in phase contrast; ``thickness`` (*S) is about 1 in an object.

        Light is lost where the sample is thick and comes back around it: a dark object with a bright halo.
        """
        units = units_of(thickness.ndim, self.anisotropy)
        halo = wide_blur(thickness, min(0.45 * diameter, 5.0) / units)
        shade = wide_blur(thickness, min(1.5 * diameter, 25.0) / units)
        dirt = 0.02 * smooth_noise(thickness.shape, 2.5 * diameter / units, rng)
        signal = np.maximum(1 + dirt - 0.6 * thickness + 0.45 * halo + 0.1 * shade, 0.02)
        signal = signal * self.photons * illumination(thickness.shape, self.unevenness, rng)
        return np.asarray(signal[None], np.float32)
