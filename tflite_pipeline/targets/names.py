"""The targets that a recipe may name, importable without any runtime."""

from __future__ import annotations

TARGET_SUMMARIES = {
    "litert": "loaded and run here by the installed ai-edge-litert",
}
