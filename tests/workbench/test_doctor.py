"""`nablax doctor`: what it says, and that it notices what is wrong."""

import json

import nablax
from nablax.workbench.__main__ import main


def test_it_says_what_is_there_and_that_all_is_well(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["well"]
    asked = ("compiled steps", "transformations", "autograd", "saving and loading")
    assert found["tests"] == dict.fromkeys(asked, "ok")
    assert found["versions"]["jax"]
    assert found["jax"]["devices"]
    assert found["jax"]["x64"] is False
    assert found["extras"]["workbench"]["click"] != "missing"
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("compilation cache", "kernels", "extras", "tested in", "orbax-checkpoint"):
        assert word in shown
    assert "\x1b" not in shown  # no colour in a pipe


def test_it_notices_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(nablax, "sgd", nablax.adam)
    assert main(["doctor"]) == 1
    assert "wrong result" in capsys.readouterr().out
    monkeypatch.setattr(nablax, "sgd", lambda rate: 1 / 0)
    assert main(["doctor", "--json"]) == 1
    assert (
        json.loads(capsys.readouterr().out)["tests"]["compiled steps"]
        == "ZeroDivisionError: division by zero"
    )
