"""Label-free prediction: phase contrast to DAPI, NFH and MAP2 (isl), Pearson's r of the test tiles, beside the best linear filter."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from _common import DATA, dojo, dojo_json, image_scores, in_words, keep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "isl_phase_to_fluo")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=("dapi", "nfh", "map2"), default=["dapi", "nfh", "map2"])
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json, too")
    args = parser.parse_args()
    facts: dict[str, object] = {"minutes": args.minutes}
    for stain in args.only:
        with tempfile.TemporaryDirectory(prefix="dojo-translate-") as name:
            model, out = Path(name) / "model", Path(name) / "out"
            train, test = args.data / "train", args.data / "test"
            budget = ("--minutes", f"{args.minutes:g}", "--test", 0, "--device", "cpu", "--out", model)
            dojo("train", "translate", "--input", train / "phase_z13", "--target", train / stain, *budget)
            seconds = dojo("predict", model, test / "phase_z13", "--device", "cpu", "--out", out)
            said = dojo_json("evaluate", model, "--input", test / "phase_z13", "--target", test / stain)
            facts[stain] = {
                **in_words(image_scores(test / stain, out)),
                "linear": round(said["baseline"]["pearson"], 4),
                "predict_seconds": round(seconds, 1),
            }
        print(json.dumps({stain: facts[stain]}), flush=True)
    if args.save:
        keep(args.save, facts)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
