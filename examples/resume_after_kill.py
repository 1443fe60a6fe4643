"""A training run that is killed, again and again, and ends where an undisturbed run ends: the same to the last bit.

    python examples/resume_after_kill.py [--short] [--out FOLDER]

The worker, a process of its own, saves its optimizer every twenty steps. A file is written beside its place and
renamed, so that a kill (SIGKILL, which no program can catch) leaves the last whole file. What a step draws is a
function of its number, so the file is all that there is to restore.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels

EVERY = 20


def predict(params, x):
    return jax.nn.relu(x @ params["w1"]) @ params["w2"]


@jax.jit
@jax.value_and_grad
def gradient(params, x, y):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(predict(params, x), y))


def work(folder, steps, pause=0.0):
    """Trains to `steps`, from the last file on if there is one; writes a line a step to folder/log.jsonl."""
    (x, y), _ = _common.digits()
    rng = np.random.default_rng(0)
    params = {"w1": rng.normal(size=(64, 32)) / 8, "w2": rng.normal(size=(32, 10)) / 6}
    params = jax.tree.map(np.float32, params)
    opt = nablax.Optimizer(nablax.adamw(nablax.cosine_decay_schedule(1e-2, steps)), params)
    file = folder / "run.safetensors"
    if file.exists():
        opt.load(file)
    with open(folder / "log.jsonl", "a", buffering=1) as log:
        for step in range(opt.metrics["steps"], steps):
            rows = np.random.default_rng((1, step)).integers(0, len(x), 64)
            loss, grads = gradient(opt.params, x[rows], y[rows])
            opt.step(grads)
            if (step + 1) % EVERY == 0 or step + 1 == steps:
                opt.save(file)
            log.write(json.dumps({"step": step, "loss": float(loss)}) + "\n")
            time.sleep(pause)  # a larger model would take this long


def losses_in(folder, begin=0):
    """The lines of the log from line `begin` on: {"step": int, "loss": float} each."""
    log = folder / "log.jsonl"
    text = log.read_text() if log.exists() else ""
    whole = text[: text.rfind("\n") + 1]  # a kill may cut the last line off
    return [json.loads(line) for line in whole.splitlines()[begin:]]


def lives(folder, steps, kills):
    """Runs the worker until it ends, killing it `kills` times on the way; the lines of each life."""
    told = []
    for life in range(kills + 1):
        worker = subprocess.Popen([sys.executable, __file__, "--worker", folder, str(steps)])
        begin = sum(map(len, told))
        while life < kills and worker.poll() is None:
            if len(losses_in(folder, begin)) >= steps // (kills + 1) + 7:
                worker.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        code = worker.wait()
        told.append(losses_in(folder, begin))
        first, last = told[-1][0]["step"], told[-1][-1]["step"]
        end = "killed" if code == -signal.SIGKILL else f"ended with {code}"
        print(f"life {life + 1}: steps {first} to {last}, {end}")
    return told


def main(short, out):
    """Trains twice; returns the number of kills, and whether parameters and state agree to the last bit."""
    steps, kills = (40, 1) if short else (300, 3)
    for name in ("killed", "undisturbed"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    told = lives(out / "killed", steps, kills)
    work(out / "undisturbed", steps)
    killed, whole = (nablax.load(out / name / "run.safetensors") for name in ("killed", "undisturbed"))
    same = killed.keys() == whole.keys() and all(np.array_equal(killed[key], whole[key]) for key in whole)
    print(
        f"{kills} kills; {len(whole)} arrays and numbers at the end: {'all the same' if same else 'THEY DIFFER'}"
    )

    figure, ax = _common.figure(size=(7, 3.4))

    def draw(losses, label, **line):
        ax.semilogy([at["step"] for at in losses], [at["loss"] for at in losses], label=label, **line)

    draw(losses_in(out / "undisturbed"), "undisturbed", color="#bbbbbb", linewidth=4)
    for life, losses in enumerate(told, 1):
        draw(losses, f"life {life}", linewidth=1)
        if life <= kills:
            ax.axvline(losses[-1]["step"], color="grey", linestyle=":", linewidth=0.8)
    ax.set(xlabel="step", title="training loss; dotted: SIGKILL")
    ax.legend()
    _common.save(figure, out, "resume_after_kill")
    return {"kills": kills, "same": same, "lives": [(s[0]["step"], s[-1]["step"]) for s in told]}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]), int(sys.argv[3]), pause=0.01)
    else:
        _common.run(main, __doc__)
