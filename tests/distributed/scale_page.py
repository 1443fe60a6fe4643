"""Runs the code of docs/scale.md on the devices of all processes; prints what a recipe's arrays take on one of them."""

import json
import re
from pathlib import Path

import jax

import nablax

TEXT = (Path(__file__).parent.parent.parent / "docs" / "scale.md").read_text()


def on_one(tree):
    first = jax.local_devices()[0]
    return sum(
        s.data.nbytes for x in jax.tree.leaves(tree) for s in x.addressable_shards if s.device == first
    )


def main():
    nablax.distributed.initialize()
    names = {"__name__": "__main__"}
    held = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(code, "scale.md", "exec"), names)
        if "train = " in code:
            held["fsdp"] = on_one(names["params"]), on_one(names["state"])
        elif "opt = " in code:
            held["tensor" if "model" in code else "data"] = (
                on_one(names["opt"].params),
                on_one(names["opt"].state),
            )
    print(json.dumps(held))


if __name__ == "__main__":
    main()
