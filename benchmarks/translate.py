"""Label-free prediction: phase contrast to DAPI, NFH and MAP2 (isl), Pearson's r of the test tiles, beside the best linear filter."""

from __future__ import annotations

from pathlib import Path

from _common import DATA, arguments, dojo, dojo_json, image_scores, in_words, measure_parts, report


def measure(stain: str, data: Path, minutes: float, folder: Path) -> dict[str, float]:
    """Train for one stain, and score the test tiles."""
    model, out, train, test = folder / "model", folder / "out", data / "train", data / "test"
    budget = ("--minutes", f"{minutes:g}", "--test", 0, "--device", "cpu", "--out", model)
    dojo("train", "translate", "--input", train / "phase_z13", "--target", train / stain, *budget)
    seconds = dojo("predict", model, test / "phase_z13", "--device", "cpu", "--out", out)
    said = dojo_json("evaluate", model, "--input", test / "phase_z13", "--target", test / stain)
    return {
        **in_words(image_scores(test / stain, out)),
        "linear": round(said["baseline"]["pearson"], 4),
        "predict_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = arguments(__doc__, DATA / "isl_phase_to_fluo", 10.0)
    parser.add_argument("--only", nargs="+", choices=("dapi", "nfh", "map2"), default=["dapi", "nfh", "map2"])
    args = parser.parse_args()
    found = measure_parts(args.only, lambda stain, folder: measure(stain, args.data, args.minutes, folder))
    report({"minutes": args.minutes, **found}, args.save)


if __name__ == "__main__":
    main()
