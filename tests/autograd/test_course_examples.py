"""The chapters in examples/course, each in its short form: they run, and learn what they claim."""

import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "course"
CLAIMS = {  # what a chapter prints at its end, and between which bounds the number lies after the few steps of --short
    "01_linear_regression": (r"largest gap to the exact solution: (\S+)", 0, 1e-3),
    "02_softmax_regression": (r"digits never seen: (\S+)%", 85, 100),
    "03_mlp_adam_by_hand": (r"digits never seen: (\S+)%", 60, 100),
    "04_derivatives": (r"largest error of the solution: (\S+)", 0, 0.2),
    "05_lenet": (r"digits never seen: (\S+)% right; the model from the file does the same: True", 25, 100),
    "06_char_rnn": (r"loss at the end: (\S+)", 0, 3.2),
    "07_gru_lstm": (r"the GRU's error on rows never seen: (\S+)", 0, 0.25),
    "08_attention": (r"right answers: (\S+)%", 40, 100),
    "09_transformer": (r"loss at the end: (\S+)", 0, 3.2),
    "10_vae": (r"digits never seen cost (\S+) nats", 15, 35),
    "11_gan": (r"off by (\S+)", 0, 1.9),
    "12_diffusion": (r"points made are (\S+) away", 0, 0.5),
    "13_maml": (r"one step leaves (\S+) of the loss", 0, 1.5),
    "14_word_vectors": (r"neighbours of the same kind: (\S+)%", 30, 100),
    "15_seq2seq": (r"loss at the end: (\S+)", 0, 2.45),
    "16_policy_gradient": (r"mean reward at the end: (\S+)", -1.3, 0.5),
}


def test_every_chapter_is_here():
    assert sorted(CLAIMS) == sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


@pytest.mark.parametrize("chapter", CLAIMS)
def test_a_chapter(chapter, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr("sys.argv", [f"{chapter}.py", "--short"])
    runpy.run_path(str(FOLDER / f"{chapter}.py"))
    found = re.search(CLAIMS[chapter][0], capsys.readouterr().out)
    _, least, most = CLAIMS[chapter]
    assert found
    assert least <= float(found[1]) <= most
