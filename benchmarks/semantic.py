"""Membranes: train on full masks and on strokes over 5 % of the pixels, mean IoU of the test part."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _common import DATA, arguments, dojo, dojo_json, report
from strokes import draw

from napari_dojo.io.images import read, write
from napari_dojo.io.pairing import list_inputs


def raised(masks: Path, out: Path) -> Path:
    """Masks with every class plus 1, as the strokes number them."""
    for path in list_inputs(masks):
        write(out / f"{path.stem}.tif", read(path, labels=True).data + 1, "YX", labels=True)
    return out


def measure(
    data: Path, targets: Path, truth: Path, minutes: float, folder: Path, more: tuple[object, ...]
) -> dict[str, object]:
    """Train on ``targets``, predict and judge the test part."""
    model, images = folder / "model", data / "test" / "images"
    budget = ("--minutes", f"{minutes:g}", "--test", 0, "--device", "cpu")
    seconds = dojo(
        "train", "semantic", "--input", data / "train" / "images", "--target", targets, *budget, *more, "--out", model
    )
    predicting = dojo("predict", model, images, "--device", "cpu", "--out", folder / "labels")
    scores = dojo_json("evaluate", model, "--input", images, "--target", truth)
    return {"train_minutes": round(seconds / 60, 2), "predict_seconds": round(predicting, 1), **scores}


def main() -> None:
    parser = arguments(__doc__, DATA / "isbi2012_membrane", 10.0)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--only", choices=("full", "strokes"))
    args = parser.parse_args()
    facts: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="dojo-semantic-") as name:
        folder, masks = Path(name), args.data / "test" / "masks"
        if args.only != "strokes":
            more = ("--zero", "background")
            facts["full"] = measure(
                args.data, args.data / "train" / "masks", masks, args.minutes, folder / "full", more
            )
        if args.only != "full":
            share = draw(args.data / "train" / "masks", folder / "strokes", args.share)
            truth = raised(masks, folder / "truth")
            found = measure(args.data, folder / "strokes", truth, args.minutes, folder / "sparse", ())
            facts["strokes"] = {"annotated": round(share, 4), **found}
    for kind, scores in facts.items():
        print(f"{kind}: mean IoU {scores['mean_iou']:.3f}")  # type: ignore[index]
    report(facts, args.save)


if __name__ == "__main__":
    main()
