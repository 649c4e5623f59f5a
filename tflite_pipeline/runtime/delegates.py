"""An interpreter in; how many of its ops a delegate such as XNNPACK has taken over out."""

from __future__ import annotations

from typing import Any


def count_delegated(interpreter: Any) -> tuple[int, int]:
    """Count the ops of the main graph that a delegate such as XNNPACK computes, and all of them."""
    ops = interpreter._get_ops_details()
    parts = [op for op in ops if op["op_name"] == "DELEGATE"]
    makers = {int(i): number for number, op in enumerate(ops) if op not in parts for i in op["outputs"]}
    taken: set[int] = set()
    for part in parts:
        given = {int(i) for i in part["inputs"]}
        wanted = [int(i) for i in part["outputs"]]
        while wanted:
            tensor = wanted.pop()
            if tensor in makers and tensor not in given and makers[tensor] not in taken:
                taken.add(makers[tensor])
                wanted += [int(i) for i in ops[makers[tensor]]["inputs"]]
    return len(taken), len(ops) - len(parts)
