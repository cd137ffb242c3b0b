"""Nuclei: train for some minutes, segment the 50 test images, pooled AP and times."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _common import DATA, arguments, dojo, dojo_json, instance_scores, report, rounded


def main() -> None:
    parser = arguments(__doc__, DATA / "dsb2018_fluo", 10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", default="none", help="what the training starts from")
    parser.add_argument("--model", help="judge this model (a folder or the name of a shipped one), train none")
    args = parser.parse_args()
    train, test = args.data / "train", args.data / "test"
    with tempfile.TemporaryDirectory(prefix="dojo-nuclei-") as folder:
        model, out = args.model or Path(folder) / "model", Path(folder) / "labels"
        facts: dict[str, object] = {"model": str(args.model or "new"), "seed": args.seed, "start": args.start}
        if not args.model:
            what = ("--input", train / "images", "--target", train / "masks", "--minutes", f"{args.minutes:g}")
            fixed = ("--test", 0, "--device", "cpu", "--seed", args.seed, "--start", args.start)
            seconds = dojo("train", "instances", *what, *fixed, "--out", model)
            facts["train_minutes"] = round(seconds / 60, 2)
        facts["predict_seconds"] = round(dojo("predict", model, test / "images", "--device", "cpu", "--out", out), 1)
        counts = instance_scores(test / "masks", out)
        said = dojo_json("evaluate", model, "--input", test / "images", "--target", test / "masks")
    facts |= {"ap": rounded(counts.ap), "pq": round(counts.pq, 4), "sentence": counts.sentence}
    facts["evaluate_agrees"] = rounded(said["ap"]) == facts["ap"]
    report(facts, args.save)


if __name__ == "__main__":
    main()
