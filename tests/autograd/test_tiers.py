"""Tiers: what runs at once, what is compiled and when, and that every run gives the same digits."""

import os
import subprocess
import sys
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._program import _compiler, _tiers
from nablax.autograd._program._compose import OFTEN


@pytest.fixture
def soon(monkeypatch):
    """Programs are due after a few runs, however small they are."""
    monkeypatch.setattr(_tiers, "schedule", lambda *work: (3, 6))
    monkeypatch.setattr("nablax.autograd._program._forward.schedule", lambda *work: (3, 6))
    autograd.cache_clear()


def made():
    info = autograd.cache_info()
    return info.compilations, info.operations


def loss_of(x, n=5):
    y = x
    for _ in range(n):
        y = (y * x).sin() + x.tanh()
    return (y * y).sum()


def steps(n, seed=0):
    """Gradients of n steps of descent."""
    x = autograd.tensor(np.random.default_rng(seed).uniform(0.1, 0.9, 50), requires_grad=True)
    found = []
    for _ in range(n):
        loss_of(x).backward()
        found.append(x.grad.numpy())
        with autograd.no_grad():
            x -= 1e-3 * x.grad
        x.zero_grad()
    return found


def test_a_new_structure_of_known_operations_compiles_nothing():
    x = autograd.tensor(np.linspace(0.1, 1, 7), requires_grad=True)
    for n in (2, 3):
        loss_of(x, n).backward()
    before = made()
    for n in (11, 4, 17):
        x.zero_grad()
        loss_of(x, n).backward()
        with autograd.tiers("compiled"):
            y = autograd.tensor(x.numpy(force=True), requires_grad=True)
            loss_of(y, n).backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-4, atol=1e-6)
        assert autograd.cache_info().operations == before[1]


def test_a_hot_program_is_compiled_beside_and_takes_over_at_its_count(soon):
    x = autograd.tensor(np.ones(5), requires_grad=True)
    tiers = []
    for _ in range(9):
        before = autograd.cache_info()
        loss_of(x).item()
        after = autograd.cache_info()
        tiers.append(after.interpreted - before.interpreted)
    assert tiers == [1] * 5 + [0] * 4
    assert autograd.cache_info().compilations == 1


def test_a_backward_through_an_ended_segment_takes_over_together_with_its_forward(soon, monkeypatch):
    from nablax.autograd._program._forward import Forward

    ran = []
    interpreted = Forward.interpreted
    monkeypatch.setattr(
        Forward, "interpreted", lambda self, values: ran.append(1) or interpreted(self, values)
    )
    x = autograd.tensor(np.ones(5), requires_grad=True)
    counts = []
    for i in range(10):
        loss = loss_of(x)
        loss.item()  # the segment ends; the backward goes through its node
        if i % 2:
            loss.backward()
        counts.append(len(ran))
        x.zero_grad()
    assert counts == [1, 2, 3, 4, 5, 5, 5, 5, 5, 5]


def test_every_run_gives_the_same_digits(soon):
    first = steps(20)
    autograd.cache_clear()
    second = steps(20)
    autograd.cache_clear()
    with autograd.tiers("interpreted"):
        third = steps(20)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first, third, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_tiers_as_asked(soon):
    with autograd.tiers("interpreted"):
        before = autograd.cache_info()
        steps(10)
        after = autograd.cache_info()
        assert after.compilations == before.compilations
        assert after.interpreted > before.interpreted
    with autograd.tiers("compiled"):
        steps(3)
        assert autograd.cache_info().interpreted == after.interpreted
    with autograd.tiers("interpreted"):  # also what was compiled before
        steps(2)
        assert autograd.cache_info().interpreted > after.interpreted
    with pytest.raises(ValueError, match="tiers: tier must be one of 'auto'"):
        autograd.tiers("fast")
    assert repr(autograd.tiers("auto")) == "tiers('auto')"


def test_wait_lets_what_is_due_take_over_at_once(soon, monkeypatch):
    monkeypatch.setattr("nablax.autograd._program._forward.schedule", lambda *work: (3, 10_000))
    steps(4)
    autograd.wait()
    before = autograd.cache_info()
    assert before.compilations > 0
    steps(2)
    after = autograd.cache_info()
    assert after.interpreted == before.interpreted


def test_eager_switch_does_not_wait_for_the_count(soon, monkeypatch):
    monkeypatch.setattr("nablax.autograd._program._forward.schedule", lambda *work: (3, 10_000))
    with autograd.tiers("eager-switch"):
        steps(4)
        _tiers.compiler.drain()
        before = autograd.cache_info()
        steps(1)
        assert autograd.cache_info().interpreted == before.interpreted


def test_a_program_that_cannot_be_compiled_stays_in_the_first_tier_and_says_so_once(soon, monkeypatch):
    def fails(self, ahead):
        raise RuntimeError("no more memory for the compiler")

    monkeypatch.setattr("nablax.autograd._program._program.Program._compile", fails)
    x = autograd.tensor(np.ones(3))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        values = {loss_of(x).item() for _ in range(12)}
    assert len(values) == 1
    assert [str(w.message) for w in seen] == [
        "nablax.autograd: a program could not be compiled and stays in the first tier: "
        "no more memory for the compiler"
    ]


def test_on_one_core_the_compiler_begins_and_takes_over_later(monkeypatch):
    work = 1000, 500_000, 10  # calls, elements, arrays in and out
    monkeypatch.setattr(_tiers, "_cores", lambda: 4)
    several = _tiers.schedule(*work)
    monkeypatch.setattr(_tiers, "_cores", lambda: 1)
    alone = _tiers.schedule(*work)
    assert several[0] < alone[0] < several[1] < alone[1]
    few_and_large = 60, 500_000, 20  # which XLA computes no quicker on one core
    assert _tiers.schedule(*few_and_large) == (_tiers.NEVER, _tiers.NEVER)
    monkeypatch.setattr(_tiers, "_cores", lambda: 4)
    assert _tiers.schedule(*few_and_large)[1] < _tiers.NEVER


def test_the_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(_compiler, "MOST_WAITING", 4)
    compiler = _compiler.Compiler()
    release = threading.Event()

    def slow(ahead):
        release.wait(30)
        return ahead

    hots = [_tiers.Hot(slow, 1, 2) for _ in range(8)]
    for hot in hots:
        compiler.add(hot)
    assert compiler.waiting() <= 5
    release.set()
    compiler.drain()
    done = [hot.made for hot in hots]
    assert done[-4:] == [True] * 4
    assert None in done
    left_out = hots[done.index(None)]
    left_out.runs = 5
    assert left_out.ready() is True  # compiled here, at its turn
    compiler.close()


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


SOON = """
import numpy as np
from nablax import autograd
from nablax.autograd._program import _forward
_forward.schedule = lambda *work: (2, 10_000)
def step():
    x = autograd.tensor(np.ones((30, 30)), requires_grad=True)
    y = x
    for _ in range(40):
        y = (y @ x).tanh()
    y.sum().backward()
    return x.grad.sum().item()
for _ in range(3):
    step()
"""


def test_a_process_ends_cleanly_while_something_compiles():
    done = run(SOON)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_compiler_of_its_own():
    done = run(
        SOON
        + """
import os, sys, warnings
warnings.simplefilter("ignore")  # JAX warns of fork
child = os.fork()
if child == 0:
    from nablax.autograd._program import _tiers
    hot = _tiers.Hot(lambda ahead: "made", 1, 2)
    _tiers.compiler.add(hot)
    _tiers.compiler.drain()
    os._exit(0 if hot.made == "made" else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    )
    assert done.returncode == 0, done.stderr


def test_a_compiled_program_of_numpy_data_runs_once_a_step():
    from nablax.autograd._ground import _aval

    kinds = set(_aval.PLAIN)
    _aval.PLAIN.clear()  # as in a process that has met no array of JAX's
    _aval.PLAIN.add(np.ndarray)
    try:
        x = autograd.tensor(np.ones(3, np.float32), requires_grad=True)
        with autograd.tiers("compiled"):
            for step in range(4):
                before = autograd.cache_info()
                (x * 2 + 1).sum().backward()
                after = autograd.cache_info()
                x.grad = None
                assert after.segments - before.segments == 1, step
    finally:
        _aval.PLAIN.update(kinds)


# -- what varies becomes an input -------------------------------------------------------------------------------------


def programs():
    from nablax.autograd._program._program import _PROGRAMS

    return len(_PROGRAMS)


VARYING = {
    "number": lambda x, i: x * (1 + i / 10),
    "reflected": lambda x, i: (2 + i) / x,
    "index": lambda x, i: x[i],
    "slice": lambda x, i: x[i : i + 2],
    "two": lambda x, i: x[i, 1:3] * (i + 2),
    "clip": lambda x, i: autograd.numpy.clip(x, -i - 1.0, i + 1.5),
    "maximum": lambda x, i: autograd.numpy.maximum(x, i / 7),
    "method": lambda x, i: x.clip(i / 10, i + 1.0),
    "roll": lambda x, i: autograd.numpy.roll(x, i),
    "power": lambda x, i: x ** (i + 2),
    "keyword": lambda x, i: autograd.nn.leaky_relu(x, negative_slope=i / 50),
}


@pytest.mark.parametrize("name", VARYING)
def test_what_varies_becomes_an_input(name):
    f = VARYING[name]
    x = autograd.tensor(np.random.default_rng(0).standard_normal((30, 4)) + 3, requires_grad=True)
    counts = []
    for i in range(20):
        x.zero_grad()
        f(x, i).sum().backward()
        counts.append(programs())
        with autograd.tiers("compiled"):  # with the number baked in, as JAX has it
            y = autograd.tensor(x.numpy(force=True), requires_grad=True)
            (want,) = autograd.grad(f(y, i).sum(), [y])
        np.testing.assert_allclose(x.grad.numpy(), want.numpy(), rtol=1e-4, atol=1e-6)
    assert counts[-1] == counts[8]  # as input both for x and for y


def test_a_key_folded_with_a_count():
    key = autograd.random.key(0)
    import jax

    drawn = [autograd.random.normal(autograd.random.fold_in(key, i), (3,)).numpy() for i in range(12)]
    want = [jax.random.normal(jax.random.fold_in(jax.random.key(0), i), (3,)) for i in range(12)]
    np.testing.assert_array_equal(drawn, want)


def test_axes_and_lengths_stay_static():
    x = autograd.tensor(np.arange(24.0).reshape(2, 3, 4))
    for axis in (0, 1, 2, 1):
        np.testing.assert_array_equal(x.sum(axis=axis).numpy(), x.numpy().sum(axis))
    for n in (1, 2, 3):
        assert x.reshape(-1, n).shape == (24 // n, n)
        assert autograd.numpy.repeat(x, n, 0).shape[0] == 2 * n


def test_an_update_ends_its_recording_so_that_what_follows_is_shared():
    w = autograd.Parameter(np.ones(3))

    def forward(i):
        loss = ((w * 2 - 1) ** 2).sum()
        loss.backward()
        with autograd.no_grad():
            w.sub_(0.1 * w.grad if i % 2 else w.grad.clip(-1.0, 1.0) * 0.1)
        w.zero_grad()

    for i in range(2):
        forward(i)
    before = programs()
    for i in range(20):
        forward(i)
    assert programs() == before


# -- who waits for a compilation is told ------------------------------------------------------------------------------

WAITING = """
import sys
import numpy as np
from nablax import autograd
from nablax.autograd._program import _forward

def step(n):
    x = autograd.tensor(np.ones((3, 3)), requires_grad=True)
    y = x
    for _ in range(n):
        y = (y @ x).tanh()
    y.sum().item()
    y.sum().backward()

def part():
    print("--", file=sys.stderr)

with autograd.compile_notice(0.005):
    with autograd.tiers("compiled"):
        step(40), step(40)
        part()
        with autograd.compile_notice(None):
            step(50)
        part()
    with autograd.tiers("interpreted"):
        step(45)
    part()
    _forward.schedule = lambda *work: (1, 2)  # the second run waits for the compiler
    step(60), step(60)
part()
with autograd.compile_notice(60), autograd.tiers("compiled"):
    step(55)
"""


def test_who_waits_for_a_compilation_is_told_once():
    done = run(WAITING)
    assert done.returncode == 0, done.stderr
    here, hidden, interpreted, beside, patient = done.stderr.split("--\n")
    assert (hidden, interpreted, patient) == ("", "", "")
    for text, operations in ((here, 82), (beside, 122)):
        assert text.count("nablax.autograd: <string>:") == text.count("\n")
        assert text.count(f"12 has waited 0.005 s for a program of {operations} operations") == 1
    with pytest.raises(ValueError, match=r"compile_notice: seconds must be 0 or more, or None, got -1"):
        autograd.compile_notice(-1)


def adam_by_hand(state, grads):
    count = state["count"] + 1
    mu = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["mu"], grads)
    steps = jax.tree.map(lambda m: -0.1 * m / (1 - 0.9**count), mu)
    return {"mu": mu, "count": count}, steps


def test_a_tiered_function_is_compiled_at_a_count_and_gives_what_jit_gives():
    at = autograd.tiered(adam_by_hand, donate_argnums=(0,))
    with autograd.tiers("compiled"):
        compiled = autograd.tiered(adam_by_hand)
        want, state = [], {"mu": [jnp.zeros((3, 2)), jnp.zeros(3)], "count": jnp.int32(0)}
        for i in range(4):
            state, steps = compiled(state, [jnp.full((3, 2), 1.0 + i), jnp.arange(3.0)])
            want.append(steps)
    before = autograd.cache_info().compilations
    state = {"mu": [jnp.zeros((3, 2)), jnp.zeros(3)], "count": jnp.int32(0)}
    for i in range(4):
        state, steps = at(state, [jnp.full((3, 2), 1.0 + i), jnp.arange(3.0)])
        for a, b in zip(jax.tree.leaves(steps), jax.tree.leaves(want[i]), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert autograd.cache_info().compilations == before
    assert int(state["count"]) == 4


def test_a_tiered_function_has_64_bits_where_x64_is_on_however_often_it_ran():
    at, x = autograd.tiered(lambda x: 2 * x + 1), np.array([1.0, 2.0])
    with jax.enable_x64(True):
        for _ in range(OFTEN + 2):
            assert at(x).dtype == np.float64
    assert at(x).dtype == autograd.tiered(lambda x: 2 * x + 1)(x).dtype == np.float32


def test_results_of_a_tiered_function_are_arrays_of_their_own():
    x = np.ones((2, 3), np.float32)
    same, turned = autograd.tiered(lambda x: (x, x.T))(x)
    x[:] = 5
    np.testing.assert_array_equal(turned, np.ones((3, 2)))
    np.testing.assert_array_equal(same, np.ones((2, 3)))


def test_a_tiered_function_that_runs_often_tells_arguments_apart():
    at = autograd.tiered(lambda x, y: (2 * x + y).sum())
    x = np.ones(6, np.float32)
    for _ in range(OFTEN + 4):
        assert at(x, x) == 18
    others = (
        (x[:4], x[:4]), (x.astype(np.float16), x), (x, 1), (x.reshape(2, 3), x.reshape(2, 3)), (x.astype(np.int32), x),
        (jnp.asarray(x), x), (x, x),
    )  # fmt: skip
    for args in others:
        want = jax.jit(lambda x, y: (2 * x + y).sum())(*args)
        found = at(*args)
        assert (found.dtype, float(found)) == (want.dtype, float(want))


def test_assign_copies_what_its_owner_may_write_to():
    w = autograd.Parameter([1.0, 2.0])
    new = np.array([3.0, 4.0], np.float32)
    autograd.assign([w], [new])
    new[:] = 0
    assert w.tolist() == [3, 4]
    autograd.assign({"w": w, "name": "linear"}, {"w": new, "name": None})
    assert w.tolist() == [0, 0]
    autograd.assign([w], [new], take=True)
    assert np.shares_memory(autograd.values(w, numpy=True), new)
    assert not autograd.values(w, numpy=True).flags.writeable


def test_an_optimizer_of_tensors_compiles_nothing_in_its_first_steps():
    import nablax

    w = autograd.Parameter([[1.0, -2.0]])
    opt = nablax.Optimizer(nablax.adamw(0.1), [w])
    before = autograd.cache_info().compilations
    for _ in range(3):
        opt.zero_grad()
        (w * w).sum().backward()
        opt.step()
    assert autograd.cache_info().compilations == before
    assert opt.compilations == 1  # built, not yet compiled
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(opt.state))
