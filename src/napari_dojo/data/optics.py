"""What a microscope does to light: point spread function, binning, and the noise of a camera.

Plain functions on numpy arrays; the simulator and super-resolution share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.errors import DojoError

__all__ = ["Camera", "bin_pixels", "blur", "psf_sigma"]


def psf_sigma(
    na: float, wavelength: float, pixel_size: Sequence[float], refractive_index: float = 1.33
) -> tuple[float, ...]:
    """Standard deviations, in pixels, of the Gaussian nearest to a wide-field point spread function.

    In 2-D 0.21 wavelength / na. In 3-D the paraxial 0.225 wavelength / na sideways and 0.78 n wavelength / na² along
    Z, n being the refractive index (Zhang, Zerubia, Olivo-Marin, Applied Optics 46:1819, 2007).

    Parameters
    ----------
    na : numerical aperture of the objective, smaller than the refractive index of what is in front of it.
    wavelength : of the emitted light, in um.
    pixel_size : um per pixel, (Y, X) or (Z, Y, X).
    refractive_index : of the immersion: 1 air, 1.33 water, 1.52 oil. Used in 3-D.

    Raises
    ------
    DojoError : where a number is not positive or the pixel size has neither 2 nor 3 members.
    """
    if min(na, wavelength, refractive_index, *pixel_size) <= 0 or len(pixel_size) not in (2, 3):
        raise DojoError(
            "A point spread function needs a positive aperture, wavelength and pixel size (Y, X) or (Z, Y, X) in um; "
            f"got aperture {na}, wavelength {wavelength}, pixel size {tuple(pixel_size)}."
        )
    if len(pixel_size) == 2:
        sigma: tuple[float, ...] = (0.21 * wavelength / na,) * 2
    else:
        wave = 2 * np.pi / wavelength
        sideways = np.sqrt(2) / (wave * na)
        axial = 2 * np.sqrt(6) * refractive_index / (wave * na**2)
        sigma = (float(axial), float(sideways), float(sideways))
    return tuple(s / p for s, p in zip(sigma, pixel_size, strict=True))


def blur(image: Any, sigma: Sequence[float] | float) -> NDArray[np.float32]:
    """Convolve with a Gaussian whose light is kept: the sum stays the same, also at the border (mirrored).

    Parameters
    ----------
    image : (..., *S), any dtype.
    sigma : standard deviations in pixels of the last axes, or one number for all axes. Axes before these (channels)
        are left alone.
    """
    image = np.asarray(image, np.float32)
    given = [float(sigma)] * image.ndim if np.isscalar(sigma) else [float(s) for s in sigma]  # type: ignore[union-attr, arg-type]
    whole = [0.0] * (image.ndim - len(given)) + given
    out: NDArray[np.float32] = ndimage.gaussian_filter(image, whole, mode="reflect")
    return out


def bin_pixels(image: Any, factor: int | Sequence[int], how: str = "sum") -> NDArray[Any]:
    """Put blocks of pixels together, as a camera that is binned or has larger pixels does.

    Output pixel i covers the input pixels i f to (i + 1) f - 1 exactly, so its centre lies at i f + (f - 1) / 2.

    Parameters
    ----------
    image : (..., *S).
    factor : whole numbers for the last axes, or one for all axes.
    how : "sum" (light that arrives) or "mean" (brightness).

    Returns
    -------
    float32, shape of ``image`` divided by the factors.

    Raises
    ------
    DojoError : where the shape is not a multiple of the factor, or ``how`` is another word.
    """
    image = np.asarray(image)
    given = [factor] * image.ndim if isinstance(factor, int | np.integer) else list(factor)
    factors = [1] * (image.ndim - len(given)) + [int(f) for f in given]
    if len(factors) != image.ndim or min(factors) < 1 or any(n % f for n, f in zip(image.shape, factors, strict=True)):
        raise DojoError(
            f"Binning needs an image whose size is a multiple of the factor: size {image.shape}, factor {factor}. "
            "Crop the image first, or choose another factor."
        )
    if how not in ("sum", "mean"):
        raise DojoError(f'Pixels are binned by "sum" or "mean"; got {how!r}.')
    blocks = image.reshape([k for n, f in zip(image.shape, factors, strict=True) for k in (n // f, f)])
    total = blocks.sum(axis=tuple(range(1, 2 * image.ndim, 2)), dtype=np.float64)
    return (total / (np.prod(factors) if how == "mean" else 1)).astype(np.float32)


@dataclass(frozen=True)
class Camera:
    """How photons become numbers.

    Attributes
    ----------
    gain : counts per photon (per photo-electron).
    offset : counts without light.
    read_noise : standard deviation in photo-electrons of every reading.
    bits : the largest count is 2 ** bits - 1; at most 16.
    """

    gain: float = 1.0
    offset: float = 100.0
    read_noise: float = 1.6
    bits: int = 16

    def __post_init__(self) -> None:
        if self.gain <= 0 or self.read_noise < 0 or not 1 <= self.bits <= 16:
            raise DojoError(
                "A camera needs a positive gain, a read noise of 0 or more and 1 to 16 bits; "
                f"got gain {self.gain}, read noise {self.read_noise}, {self.bits} bits."
            )

    def expected(self, photons: Any) -> NDArray[np.float32]:
        """Counts without noise (and without clipping) for the expected number of photons in each pixel."""
        return (np.asarray(photons, np.float32) * self.gain + self.offset).astype(np.float32)

    def variance(self, photons: Any) -> NDArray[np.float32]:
        """Variance of the counts: shot noise, read noise and rounding."""
        light = np.asarray(photons, np.float32)
        return (self.gain**2 * (light + self.read_noise**2) + 1 / 12).astype(np.float32)

    def expose(self, photons: Any, rng: np.random.Generator) -> NDArray[np.uint16]:
        """One picture: Poisson noise, Gaussian read noise, offset, rounded and clipped to the range of the camera.

        Parameters
        ----------
        photons : expected number of photons in each pixel, any shape, 0 or more.
        rng : the only source of chance.
        """
        photons = np.maximum(np.asarray(photons, np.float32), 0)
        caught = rng.poisson(photons).astype(np.float32)
        if self.read_noise:
            caught += rng.standard_normal(photons.shape, np.float32) * np.float32(self.read_noise)
        counts = np.rint(caught * np.float32(self.gain) + np.float32(self.offset))
        return np.clip(counts, 0, 2**self.bits - 1).astype(np.uint16)
