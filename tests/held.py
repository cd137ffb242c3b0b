"""Images whose prediction begins and does not end, so that a test knows which are done when it stops."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest

from napari_dojo.inference import predict


def held_but(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Images of other names are under way until they are stopped."""
    real = predict.predict_image

    def predict_image(ready: Any, image: Any, control: Any, *more: Any) -> Generator[Any, None, Any]:
        while image.name not in names:
            control.check()
            time.sleep(0.005)
        return (yield from real(ready, image, control, *more))

    monkeypatch.setattr(predict, "predict_image", predict_image)
