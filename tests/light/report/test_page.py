from __future__ import annotations

import html
import re
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from tflite_pipeline.report.layers import shown_layers, worst_layers
from tflite_pipeline.report.page import SECTIONS, page
from tflite_pipeline.report.pictures import draw_samples

pytestmark = pytest.mark.slow


def text_of(found: str) -> str:
    """What a page shows, tags left out, one space between words."""
    body = found.split("</style>")[-1].split("<script>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def section(found: str, name: str) -> str:
    """What one section shows."""
    return text_of("<section" + found.split(f'<section id="{name}"')[1].split("</section>")[0])


def test_the_page_shows_float_fake_quantized_and_tflite(make_report, fidelity, training) -> None:
    found = page(make_report(fidelity, training=training))
    text = text_of(found)
    assert "top1 93.10% 93.00% +0.10 points -0.40 … +0.60 90.00% +3.00 points +1.80 … +4.20" in text
    assert "scores 95.50% 99.54% 99.91% 7 LSB 38.2 dB angle - - - - 40.0 dB" in text
    assert "Warning: top1 goes from 0.93 to 0.9." in text
    assert "qat: kept epoch 2 of 3 (val_accuracy 93.10%, before training 92.70%)." in text
    assert "Zeros and shared values" not in text
    assert [f'id="training-{number}"' in found for number in range(3)] == [True, True, False]


def test_the_page_shows_zeros_and_the_compressed_size(make_report, training, compression) -> None:
    training["steps"].pop()
    text = text_of(page(make_report(training=training, compression=compression)))
    assert "prune: kept epoch 2 of 2" in text
    assert "fake-quantized" not in text
    assert "50.00% of the weights are zero. Compressed, as an app package holds it, the file has 2.0 KiB" in text
    assert "dense FULLY_CONNECTED 1280 50.00% 180 25 yes" in text


def test_every_section_is_there_when_there_is_nothing_to_show(make_report) -> None:
    report = make_report()
    assert report["training"] == {"steps": [], "kept": {}, "fidelity": {}, "compression": None}
    found = page(report)
    assert [name for name, _ in SECTIONS] == re.findall(r'<section id="(\w+)"', found)
    assert re.findall(r'<h2 id="\w+-title">([^<]+)', found) == [title for _, title in SECTIONS]
    for name, reason in {
        "confusion": "Not known: there is no output with classes",
        "calibration": "Not needed: full_int8",
        "layers": "Not measured.",
        "samples": "Not known: the recipe has no dataset",
        "kernels": "Not checked: the recipe has no dataset",
        "targets": "Not asked: the recipe names no target.",
        "training": "Not asked: the recipe trains nothing",
    }.items():
        assert reason in section(found, name)


def test_the_report_takes_over_what_the_training_gave(make_report, fidelity, training, compression) -> None:
    found = make_report(fidelity, training=training, compression=compression)["training"]
    assert found == {**training, "fidelity": fidelity, "compression": compression}


def test_gates_that_did_not_pass_come_first_and_tell_what_to_do(make_report) -> None:
    rows = [("scheme", "passed"), ("max_drop:top1", "undecided"), ("max_size", "failed")]
    gates = [
        {"name": name, "verdict": verdict, "text": f"{name} is so.", "limit": 1, "value": 2, "interval": None}
        for name, verdict in rows
    ]
    found = page(make_report(gates=gates, verdict="failed"))
    text = section(found, "gates")
    assert text.index("max_size failed") < text.index("max_drop:top1 undecided") < text.index("scheme passed")
    assert "What to do: try a scheme with smaller weights, or a smaller model." in text
    assert "What to do: give more evaluation samples" in text
    assert text.count("What to do") == 2
    assert "Failed 1 of 3 gates failed (max_size): the full_int8 file has" in text_of(found)


def test_what_a_recipe_names_is_text_and_no_markup(make_report) -> None:
    found = page(
        make_report(recipe={"name": "<b>x</b>", "sha256": "ab", "path": "x.yaml", "decided": []}), "a: <i>&</i>"
    )
    assert "<h1>&lt;b&gt;x&lt;/b&gt;</h1>" in found
    assert "a: &lt;i&gt;&amp;&lt;/i&gt;" in found


def test_a_page_may_load_nothing_and_names_no_address(make_report, training) -> None:
    found = page(make_report(training=training))
    assert "default-src 'none'" in found
    assert not re.search(r'(?:src|href)="(?!#|data:)', found)
    assert "http" not in found.replace('http-equiv="Content-Security-Policy"', "")


def layer(index: int, sqnr_db: float | None, before_db: float | None = None) -> dict[str, Any]:
    return {
        "index": index,
        "op": "CONV_2D",
        "tensor": f"a/b{index}",
        "layer": f"relu, conv{index}",
        "activations": "int8",
        "weights": "int8",
        "sqnr_db": sqnr_db,
        "before_db": before_db,
        "clipped": 0.0,
        "cause": {"name": "rounding", "text": "plain rounding"},
        "remedy": "leave it",
    }


def test_the_worst_ops_are_those_that_add_most_to_what_they_read() -> None:
    rows = [layer(0, 40.0), layer(1, 20.0, 20.1), layer(2, 25.0, 40.0), layer(3, None, 20.0), layer(4, 30.0, 20.0)]
    assert [row["index"] for row in worst_layers(rows)] == [2, 1, 0]


def test_of_many_ops_the_table_has_those_of_least_sqnr_in_the_order_of_the_graph() -> None:
    rows = [layer(number, 60.0 - number % 300) for number in range(1000)]
    shown = shown_layers(rows)
    assert len(shown) == 200
    assert [number for number, _ in shown] == sorted(number for number, _ in shown)
    assert max(row["sqnr_db"] for _, row in shown) < -1


def test_a_report_of_ten_thousand_ops_and_two_hundred_classes_gives_a_small_page(make_report) -> None:
    random = np.random.default_rng(0)
    rows = [layer(number, 40 - 20 * float(random.random()), 41.0) for number in range(10_000)]
    counts = random.integers(0, 4, (200, 200))
    cells = [[true, taken, int(counts[true, taken])] for true in range(200) for taken in range(200)]
    recall = [0.5] * 200
    report = make_report(layers={"samples": 32, "rows": rows, "note": ""})
    report["confusion"] = {
        "scores": {
            "classes": [f"class {number}" for number in range(200)],
            "reference": cells,
            "quantized": [[taken, true, count] for true, taken, count in cells],
            "recall": {"reference": recall, "quantized": recall},
        }
    }
    report["audit"]["float_ops"] = [{"op": "ADD", "layer": "", "tensor": f"t{number}"} for number in range(5000)]
    found = page(report)
    assert len(found) < 400_000
    assert "The 200 of least SQNR of all 10000 ops" in found
    assert "4980 more are in" in section(found, "contents")
    assert re.search(r"200 classes, of which \d{5} pairs are confused", section(found, "confusion"))


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((8, 9, 3), "as a picture"),
        ((8, 9, 1), "as a picture of its values"),
        ((49, 10), "as a picture of its values"),
        ((64,), "as a curve"),
        ((64, 3), "as a curve"),
        ((3, 64), "as a curve"),
        ((1,), "as a curve"),
        ((4, 4, 4, 4), "as a curve"),
    ],
)
def test_samples_are_drawn_by_their_shape(make_samples, shape: tuple[int, ...], what: str) -> None:
    samples = make_samples({"x": np.random.default_rng(0).normal(size=(5, *shape))}, rows=(10, 11, 12, 13, 14))
    drawn = draw_samples([13, 10], samples)
    assert f"Sample of row 13 {what}" in drawn[0]
    assert f"Sample of row 10 {what}" in drawn[1]
    assert drawn[0] != drawn[1]


def test_samples_that_differ_are_shown_with_both_answers(make_report) -> None:
    answers = {"reference": {"class": "cat", "score": 0.75}, "quantized": {"class": "dog", "score": 0.5}}
    report = make_report()
    report["agreement"] = {"scores": {"value": 0.75, "interval": [0.5, 0.9], "samples": 4, "sqnr_db": 20.0}}
    report["disagreements"] = [{"row": 7, "label": "dog", **answers}]
    found = page(report, pictures=[Markup("<img>")])
    assert "for 1 of 4 samples. They are here; beside each class is its score." in section(found, "samples")
    assert "row 7 label dog float cat 0.750 quantized dog 0.500" in section(found, "samples")
    assert '<dd class="bad">cat</dd>' in found
    assert '<dd class="good">dog</dd>' in found


def test_samples_of_an_output_without_classes_are_shown_with_its_first_values(make_report) -> None:
    answers = {"reference": {"values": [0.5, 1.25]}, "quantized": {"values": [0.25, 1.5]}}
    report = make_report()
    report["agreement"] = {"box": {"value": None, "interval": None, "samples": 4, "sqnr_db": 20.0}}
    report["disagreements"] = [{"row": 7, "label": None, "difference": 0.25, **answers}]
    text = section(page(report, pictures=[Markup("<img>")]), "samples")
    assert "the 1 samples on which the first output differs most" in text
    assert "row 7 float 0.500, 1.250 quantized 0.250, 1.500 mean difference 0.25" in text
