"""Saves that end badly: kill -9 at random moments, full disks, two writers. Prints what it found, as JSON.

It forks, which is fast, and possible because nothing here starts JAX's devices.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

import nablax

KILLS, WRITERS = 50, 10


def tree(step):
    rng = np.random.default_rng(step)
    return {
        "w": rng.normal(size=(100, 150)),
        "layers": [rng.integers(9, size=(k, 50)) for k in (5, 60)],
        "n": step,
    }


def same(a, b):
    return a["n"] == b["n"] and all(
        np.array_equal(x, y) for x, y in zip([a["w"], *a["layers"]], [b["w"], *b["layers"]], strict=True)
    )


def forked(action):
    """The id of a process that does this, and where what it prints can be read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        os.close(reading)
        action(lambda text: os.write(writing, f"{text}\n".encode()))
    finally:
        os._exit(0)


def told(child):
    pid, reading = child
    with os.fdopen(reading) as lines:
        said = lines.read().split("\n")[:-1]
    os.waitpid(pid, 0)
    return said


def kills(folder):
    """Each child saves on from the newest step and is killed, after a save and a random part of the next ones."""
    rng, wrong, newest = random.Random(0), [], -1
    for _ in range(KILLS):

        def save_on(say, first=newest + 1):
            manager = nablax.CheckpointManager(folder, keep=2)
            for step in range(first, first + 10**6):
                start = time.monotonic()
                manager.save(step, tree(step))
                say(f"{step} {time.monotonic() - start}")

        pid, reading = forked(save_on)
        first = b""
        while not first.endswith(b"\n"):
            first += os.read(reading, 1)
        time.sleep(rng.uniform(0, 3) * float(first.split()[1]))
        os.kill(pid, signal.SIGKILL)
        done = max(int(line.split()[0]) for line in [first.decode(), *told((pid, reading))])
        manager = nablax.CheckpointManager(folder)
        newest = manager.latest_step()
        if newest not in (done, done + 1):  # the last one may have been in its place already
            wrong.append(f"{done} was saved, {newest} is found")
        for step in manager.all_steps():
            if not same(manager.restore(tree(0), step), tree(step)):
                wrong.append(f"step {step} is another")
    manager = nablax.CheckpointManager(folder, keep=2)
    manager.save(newest + 1, tree(newest + 1))
    return {"wrong": wrong, "newest": newest, "left": sorted(os.listdir(folder))}


def full(folder, limit):
    """A save that finds no room, after one that did."""
    manager = nablax.CheckpointManager(folder)
    manager.save(1, tree(1))
    limit()
    try:
        manager.save(2, {"w": np.zeros(10**6)})
        said = ""
    except OSError as e:
        said = e.strerror
    return {"said": said, "same": same(manager.restore(tree(0)), tree(1)), "left": os.listdir(folder)}


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))


def on_small_disk(folder):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        return None
    try:
        return full(folder, lambda: None)
    finally:
        subprocess.run(["umount", folder], check=True)


def two_writers(folder):
    """How often each of two won a step, and whether what is there is the winner's."""
    manager, results = nablax.CheckpointManager(folder, keep=None), []
    for step in range(WRITERS):
        go, start = os.pipe()

        def save(say, who, step=step, go=go, start=start):
            os.close(start)
            os.read(go, 1)  # until the other end is closed
            try:
                manager.save(step, tree(who))
                say("won")
            except FileExistsError as e:
                say(e.strerror)

        children = [forked(lambda say, who=who: save(say, who)) for who in (0, 1)]
        os.close(go)
        os.close(start)
        said = [told(child)[0] for child in children]
        won = [who for who in (0, 1) if said[who] == "won"]
        lost = [text for text in said if f"step {step} is there already" in text]
        results.append(len(won) == len(lost) == 1 and same(manager.restore(tree(0), step), tree(won[0])))
    return {"right": results, "left": sorted(os.listdir(folder))}


def main():
    found = {}
    with tempfile.TemporaryDirectory() as root:
        folder = {name: os.path.join(root, name) for name in ("kills", "tmpfs", "limit", "writers")}
        os.mkdir(folder["tmpfs"])
        found["kills"] = kills(folder["kills"])
        found["writers"] = two_writers(folder["writers"])
        found["tmpfs"] = on_small_disk(folder["tmpfs"])
        (said,) = told(forked(lambda say: say(json.dumps(full(folder["limit"], small_files)))))
        found["limit"] = json.loads(said)
    print(json.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
