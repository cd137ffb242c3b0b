"""One file for each image format, and what the formats share; `napari_dojo.io.images` chooses among them."""

__all__ = [
    "czi",
    "lif",
    "microscope",
    "nikon",
    "numpy_file",
    "olympus",
    "ome_zarr",
    "picture",
    "pixels",
    "tiff",
    "tiff_writer",
]
