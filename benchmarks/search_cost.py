"""What a candidate of a search costs: 100 of ResNet8, each quantized and evaluated in full on 1000 samples.

None is spared by a cheap look, as a search would spare many. The candidates are those that a search goes through:
schemes, recoveries, calibration methods, then precisions by layer. The model and the data are those of
`recipes/shared_data/resnet8.yaml` (TFLITE_PIPELINE_DATA).

    python benchmarks/search_cost.py [--candidates 100] [--samples 1000]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tflite_pipeline.bench import Options, open_bench
from tflite_pipeline.convert.spec import STRONG
from tflite_pipeline.errors import PipelineError
from tflite_pipeline.search.assign import FAMILIES, options_of, rules_of
from tflite_pipeline.search.candidates import OTHERS, Choice, Space
from tflite_pipeline.search.evaluate import Bed, Made, graph_of
from tflite_pipeline.search.request import Request, load_base
from tflite_pipeline.search_table import SearchWatcher

RECIPE = Path(__file__).parent.parent / "recipes" / "shared_data" / "resnet8.yaml"
LIMIT = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()
    sets = (f"dataset.evaluation.samples={2 * arguments.samples}", "quantization.io=float32")
    request = Request(str(RECIPE), sets, False, LIMIT, "size", 3600.0)
    base = load_base(request.path, request.overrides, request.allow_code)
    space = Space.of(request, base.recipe)
    rows: list[tuple[str, float, float]] = []
    with tempfile.TemporaryDirectory() as out:
        options = Options(Path(out))
        with open_bench(RECIPE, "search_cost", options) as bench, SearchWatcher(request.budget) as watcher:
            bed = Bed(bench, watcher, "top1")
            begin = time.perf_counter()
            for choice in choices(space, bed):
                if len(rows) == arguments.candidates:
                    break
                row = judged(space, bed, choice)
                rows += [row] if row else []
            total = time.perf_counter() - begin
    for kind in dict.fromkeys(name for name, _, _ in rows):
        makes, looks = zip(*((make, look) for name, make, look in rows if name == kind), strict=True)
        make, look = statistics.median(makes), statistics.median(looks)
        print(f"{kind:40} {len(makes):4}   made in {make:5.2f} s, judged in {look:5.2f} s")
    print(f"{len(rows)} candidates on {arguments.samples} samples: {total:.0f} s, {total / len(rows):.2f} s each")


def judged(space: Space, bed: Bed, choice: Choice) -> tuple[str, float, float] | None:
    """Quantize and evaluate; give the kind of candidate, and the seconds of both; None where there is none."""
    begin = time.perf_counter()
    try:
        made = bed.make(space.candidate(choice))
    except PipelineError:
        return None
    middle = time.perf_counter()
    bed.judge(made, "search")
    recovered = "with " + " ".join(choice.recovery) if choice.recovery else "plain"
    kind = f"{'layers' if choice.rules else 'schemes'} {recovered}"[:40]
    return kind, middle - begin, time.perf_counter() - middle


def choices(space: Space, bed: Bed) -> Iterator[Choice]:
    """Give the candidates in the order of a search."""
    for recovery in ((), STRONG, *OTHERS):
        for scheme in space.schemes:
            if not recovery or space.recovers(scheme):
                yield Choice(scheme, recovery)
    for scheme, method in itertools.product(("full_int8", "int8x4", "int16x8"), ("minmax", "mse", "entropy")):
        yield Choice(scheme, (), method)
    for family in FAMILIES:
        yield from layered(bed, bed.make(space.candidate(Choice(family[0]))), family)


def layered(bed: Bed, plain: Made, family: tuple[str, ...]) -> Iterator[Choice]:
    """Give assignments of schemes to layers, plain and recovered."""
    options = options_of(bed.sensitivity(plain, tuple(name for name in family if name != "float32")), family)
    graph, layers = graph_of(plain)
    for recovery, chosen in itertools.product(((), STRONG), bed.ladder(plain, options)):
        yield Choice("mixed", recovery, rules=rules_of(chosen, graph, layers, family[1]))


if __name__ == "__main__":
    main()
