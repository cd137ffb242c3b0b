"""Real noise: denoise with pairs and without, the shipped denoiser, and what a minute of fine-tuning gains (w2s, PSNR)."""

from __future__ import annotations

from pathlib import Path

from _common import DATA, arguments, dojo, image_scores, in_words, measure_parts, report

PARTS = ("pairs", "alone", "shipped", "tuned", "tuned-alone")
SHIPPED = "denoise-fluorescence"


def train(task: str, data: Path, minutes: float, out: Path, *more: object) -> None:
    """Train on the noisy training images, with the clean ones where there are pairs."""
    noisy, clean = data / "train" / "noisy", data / "train" / "clean"
    target = ("--target", clean) if task == "denoise" else ()
    budget = ("--minutes", f"{minutes:g}", "--test", 0, "--device", "cpu", "--group-by", "(fov[0-9]+)")
    dojo("train", task, "--input", noisy, *target, *budget, *more, "--out", out)


def judge(model: object, data: Path, folder: Path, *more: object) -> dict[str, float]:
    """PSNR, SSIM and r of the test part, and the seconds of the command."""
    seconds = dojo("predict", model, data / "test" / "noisy", "--device", "cpu", *more, "--out", folder)
    return {**in_words(image_scores(data / "test" / "clean", folder)), "predict_seconds": round(seconds, 1)}


def measure(part: str, data: Path, minutes: float, folder: Path) -> dict[str, object]:
    """The figures of one part."""
    if part == "shipped":
        return judge(SHIPPED, data, folder / "shipped")
    task = "denoise" if part in ("pairs", "tuned") else "noise2void"
    if part in ("pairs", "alone"):
        train(task, data, minutes, folder / "model")
        once = judge(folder / "model", data, folder / "predictions-once", "--tta", 1)
        return {**judge(folder / "model", data, folder / "predictions"), "once": once}
    train(task, data, 1, folder / "tuned", "--start", SHIPPED)
    train(task, data, 1, folder / "fresh")
    return {
        "tuned": judge(folder / "tuned", data, folder / "predictions-tuned", "--tta", 1),
        "from_scratch": judge(folder / "fresh", data, folder / "predictions-fresh", "--tta", 1),
    }


def main() -> None:
    parser = arguments(__doc__, DATA / "w2s_denoise", 10.0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    found = measure_parts(args.only, lambda part, folder: measure(part, args.data, args.minutes, folder))
    report({"minutes": args.minutes, **found}, args.save)


if __name__ == "__main__":
    main()
