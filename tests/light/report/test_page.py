from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tflite_pipeline.report.page import write_page


def page_text(path: Path, report: dict[str, Any]) -> str:
    """What the page shows, tags left out, one space between words."""
    write_page(path, report)
    body = path.read_text().split("</style>")[1]
    return " ".join(re.sub(r"<[^>]+>", " ", body).replace("&#39;", "'").split())


def test_the_page_shows_float_fake_quantized_and_tflite(tmp_path, make_report, fidelity, training) -> None:
    text = page_text(tmp_path / "report.html", make_report(fidelity, training=training))
    assert "Quantization-aware training" in text
    assert "metric float fake-quantized .tflite top1 93.10% 93.00% drop +0.10 points -0.40 … +0.60 90.00%" in text
    assert "90.00% drop +3.00 points +1.80 … +4.20" in text
    assert "scores 95.50% 99.54% 99.91% 7 LSB 38.2 dB angle - - - - 40.0 dB" in text
    assert "Warning: top1 goes from 0.93 to 0.9." in text
    assert "qat: kept epoch 2 of 3 (val_accuracy 93.10%, before training 92.70%)." in text
    assert "Zeros and shared values" not in text
    page = (tmp_path / "report.html").read_text()
    assert (page.count("<svg"), page.count('r="5"'), page.count('<polyline class="val"')) == (2, 2, 2)


def test_the_page_shows_zeros_and_the_compressed_size(tmp_path, make_report, training, compression) -> None:
    training["steps"].pop()
    text = page_text(tmp_path / "report.html", make_report(training=training, compression=compression))
    assert "Training prune: kept epoch 2 of 2" in text
    assert "fake-quantized" not in text
    assert "50.00% of the weights are zero. Compressed, as an app package holds it, the file has 2.0 KiB; plain" in text
    assert "dense FULLY_CONNECTED 1280 50.00% 180 25 yes" in text


def test_the_page_says_nothing_of_training_when_there_was_none(tmp_path, make_report) -> None:
    report = make_report()
    assert report["training"] == {"steps": [], "kept": {}, "fidelity": {}, "compression": None}
    text = page_text(tmp_path / "report.html", report)
    assert not re.search("training|zeros|<svg", text, re.IGNORECASE)


def test_the_report_takes_over_what_the_training_gave(make_report, fidelity, training, compression) -> None:
    found = make_report(fidelity, training=training, compression=compression)["training"]
    assert found == {**training, "fidelity": fidelity, "compression": compression}
