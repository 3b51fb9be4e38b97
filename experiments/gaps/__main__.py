"""Train each learner on each instance and write the table of gaps; what is there already is not done again.

``python -m experiments.gaps --family lost_sales --learner pathwise --seeds 5``. Each learner has one set of
hyper-parameters for all instances. A cell is one file in ``--out``: a sweep that was killed goes on with the next one,
and another process may take other families at the same time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from experiments.compile_cache import keep_compiled
from experiments.gaps.families import FAMILIES
from experiments.gaps.table import cells, detail, summary
from experiments.gaps.unit import run_unit
from meio_jax.learners.loop import TrainingDivergedError
from meio_jax.learners.registry import LEARNERS


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.gaps", description=__doc__)
    parser.add_argument("--family", nargs="+", choices=tuple(FAMILIES), default=tuple(FAMILIES))
    parser.add_argument("--learner", nargs="+", choices=tuple(LEARNERS), default=tuple(LEARNERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=None, help="default: the learner's own")
    parser.add_argument("--most", type=int, default=None, help="instances of each family, the first so many")
    parser.add_argument("--short", action="store_true", help="one instance of each family, two seeds")
    parser.add_argument("--out", type=Path, default=Path("results/gaps"))
    parser.add_argument("--table", action="store_true", help="print what is there; train nothing")
    args = parser.parse_args(words)
    if args.seeds < 1 or (args.updates is not None and args.updates < 10) or (args.most is not None and args.most < 1):
        parser.error("--seeds and --most must be at least 1, --updates at least 10")
    keep_compiled()
    seeds = min(args.seeds, 2) if args.short else args.seeds
    most = 1 if args.short else args.most
    failed = 0
    if not args.table:
        for name in args.family:
            for instance in FAMILIES[name].ids[:most]:
                for learner in args.learner:
                    if learner not in dict(FAMILIES[name].mean) and FAMILIES[name].reference != "hindsight":
                        continue  # no aim here: a learner that this family is not for
                    begun = time.perf_counter()
                    try:
                        row = run_unit(args.out, name, learner, instance, seeds, args.updates)
                    except TrainingDivergedError as e:
                        print(f"{instance} {learner}: {e}", file=sys.stderr, flush=True)
                        failed += 1
                        continue
                    print(
                        f"{instance} {learner}: {row['gap']:+.3f} % (worst seed {row['worst']:+.3f}), trained in "
                        f"{row['train_seconds']:.0f} s, this took {time.perf_counter() - begun:.0f} s",
                        file=sys.stderr, flush=True,
                    )  # fmt: skip
    rows = cells(args.out, args.learner, args.family)
    if not rows:
        print("nothing was computed yet", file=sys.stderr)
        return 1
    text = summary(rows) + "\n\n" + detail(rows) + "\n"
    (args.out / "table.md").write_text(text)
    print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
