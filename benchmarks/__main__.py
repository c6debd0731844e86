"""Reads the command line and measures."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import benchmarks
from benchmarks.common import ROOT

WHAT = ("bulk", "feed", "load", "onednn", "page", "peers", "site", "unfamiliar")


def main() -> int:
    """Measure; 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights" / "efficientnet-unet")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--data", type=Path, action="append", metavar="DIR",
        help="a data set's folder, for unfamiliar; may be given several times",
    )  # fmt: skip
    chosen = parser.parse_args()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if chosen.what == "unfamiliar" and chosen.data is None:
        parser.error("unfamiliar needs --data, the folder of a data set")
    return 1 if _measured(chosen) is False else 0


def _measured(chosen: argparse.Namespace) -> bool | None:
    """Run the chosen measurement; True or False by its bounds, None without bounds."""
    match chosen.what:
        case "bulk":
            from benchmarks.bulk import bulk

            return bulk(chosen.images, chosen.workers, chosen.weights)
        case "load":
            from benchmarks.load import load

            return load(chosen.people, chosen.minutes, chosen.replicas)
        case "page":
            from benchmarks.page import page

            return page(chosen.rounds)
        case "peers":
            from benchmarks.engines import peers

            return peers(chosen.weights, 4 * chosen.rounds)
        case "site":
            from benchmarks.site import site

            return site(2 * chosen.rounds)
        case "unfamiliar":
            from benchmarks.pictures import unfamiliar

            return unfamiliar(chosen.weights, chosen.data)
    from benchmarks import training

    measure_it = {"feed": training.feed, "onednn": training.onednn}[chosen.what]
    return measure_it(chosen.precision, chosen.rounds)


if __name__ == "__main__":
    sys.exit(main())
