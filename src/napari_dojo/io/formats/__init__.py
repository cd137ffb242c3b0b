"""One file for each image format, and what the formats share; `napari_dojo.io.images` chooses among them."""

__all__ = ["numpy_file", "ome_zarr", "picture", "pixels", "tiff", "tiff_writer"]
