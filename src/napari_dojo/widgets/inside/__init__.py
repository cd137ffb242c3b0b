"""The Look inside panel."""

__all__: list[str] = []
