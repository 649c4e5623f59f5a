"""What tflite-support reads out of files, for a Python that has it: show_metadata.py OUT.json FILE.tflite…"""

from __future__ import annotations

import json
import sys

from tflite_support import metadata


def show(path: str) -> dict[str, object]:
    displayer = metadata.MetadataDisplayer.with_model_file(path)
    names = displayer.get_packed_associated_file_list()
    files = {name: displayer.get_associated_file_buffer(name).decode() for name in names}
    return {"metadata": json.loads(displayer.get_metadata_json()), "files": files}


if __name__ == "__main__":
    with open(sys.argv[1], "w") as file:
        json.dump({path: show(path) for path in sys.argv[2:]}, file)
