"""Memory, threads, caches, cutting, drawing."""

import collections
import gc
import resource
import shutil
import sys
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._ground._bounded import Bounded
from nablax.autograd._path import _trace
from nablax.autograd._program import _program


@pytest.fixture(scope="module", autouse=True)
def only_what_is_made_here():
    """The collector passes by what other files' tests left: millions of objects, each time it is called."""
    gc.freeze()
    yield
    gc.unfreeze()


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_ten_thousand_steps_without_the_collector_stay_flat():
    w = autograd.Parameter(np.ones(100))
    x = autograd.tensor(np.linspace(0, 1, 100))
    total = 0.0

    def step():
        nonlocal total
        loss = ((w * x).tanh() ** 2).sum()
        if float(loss) > -1:  # a segment ends; the backward goes through its node
            loss.backward()
        with autograd.no_grad():
            w.sub_(w.grad * 0.001)
        w.zero_grad()
        total += loss.item()

    for _ in range(500):
        step()
    gc.collect()
    gc.disable()
    try:
        before = resident()
        arrays = len(jax.live_arrays())
        for _ in range(10_000):
            step()
        assert resident() - before < 8e6
        assert len(jax.live_arrays()) <= arrays + 3
    finally:
        gc.enable()
    assert total > 0


def test_dropping_the_last_reference_frees_the_graph_at_once():
    gc.collect()
    gc.disable()
    try:
        x = autograd.tensor(np.ones(10), requires_grad=True)
        with autograd.tiers("compiled"):
            y = (x * 2).sum().realize()
            z = (y * y).realize()
        node = z._n
        kept = weakref.ref(z)
        arrays = len(jax.live_arrays())
        del z, node
        assert kept() is None
        del y
        x.sum().item()
        assert len(jax.live_arrays()) < arrays
    finally:
        gc.enable()


def test_threads_train_as_one_after_the_other():
    def train(seed, out):
        rng = np.random.default_rng(seed)
        w = autograd.Parameter(rng.standard_normal(5))
        for i in range(60):
            x = autograd.tensor(rng.standard_normal(5))
            loss = ((w * x).sum() - 1) ** 2
            if i % 3 == 0:
                loss.item()
            loss.backward()
            with autograd.no_grad():
                w -= 0.05 * w.grad
            w.zero_grad()
        out[seed] = w.tolist()

    one, two = {}, {}
    for seed in range(2):
        train(seed, one)
    threads = [threading.Thread(target=train, args=(seed, two)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one == two


def test_a_leaf_is_shared_and_an_open_recording_is_not():
    w = autograd.Parameter([1.0, 2.0])
    pending = w * 2
    errors, values = [], []

    def work():
        values.append((w * w).sum().item())
        try:
            pending + 1
        except autograd.ThreadError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert values == [5.0]
    assert "realize" in errors[0]
    assert (w * pending).sum().item() == 10.0


def test_no_grad_belongs_to_a_thread():
    seen = []
    with autograd.no_grad():
        thread = threading.Thread(target=lambda: seen.append(autograd.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def train_step(w, x):
    loss = ((x @ w).tanh() ** 2).sum()
    loss.backward()
    with autograd.no_grad():
        w -= 0.1 * w.grad
    w.zero_grad()
    return loss


def test_loops_reuse_programs_and_another_batch_size_compiles_once_more():
    w = autograd.Parameter(np.ones(3))

    def made():
        info = autograd.cache_info()
        return info.compilations + info.operations

    with autograd.tiers("compiled"):
        for size in (4, 7):
            for _ in range(3):
                train_step(w, autograd.tensor(np.ones((size, 3)))).item()
            before = made()
            for _ in range(20):
                train_step(w, autograd.tensor(np.ones((size, 3)))).item()
            assert made() == before
        before = autograd.cache_info()
        for _ in range(3):
            train_step(w, autograd.tensor(np.ones((5, 3)))).item()
        assert autograd.cache_info().compilations > before.compilations
        assert autograd.cache_info().hits > 0


def test_numbers_are_told_apart():
    x = autograd.tensor([3, 4])
    assert [(x * v).dtype for v in (1, 1.0, True)] == [np.int32, np.float32, np.int32]
    y = autograd.tensor(2.0)
    assert [np.signbit((y * 0 * v).item()) for v in (0.0, -0.0)] == [False, True]
    assert [autograd.numpy.copysign(y, v).item() for v in (0.0, -0.0)] == [2, -2]
    assert np.isnan((y * float("nan")).item())
    assert (y * 1.5).item() == 3


@pytest.mark.parametrize("limit", [40, 80])
def test_a_long_loop_is_cut_where_it_repeats(limit):
    w = autograd.Parameter(np.linspace(0.1, 0.9, 4))

    def run(n):
        h, c = w * 0, w * 1
        for _ in range(n):
            gate = (h * w + c).sigmoid()
            c = gate * c + (1 - gate) * h.tanh()
            h = gate * c.tanh()
        h.sum().backward()
        return w.grad.numpy()

    def f(w):
        h, c = w * 0, w * 1
        for _ in range(60):
            gate = jax.nn.sigmoid(h * w + c)
            c = gate * c + (1 - gate) * jnp.tanh(h)
            h = gate * jnp.tanh(c)
        return h.sum()

    with autograd.max_segment(limit):
        before = autograd.cache_info()
        got = run(60)
        after = autograd.cache_info()
    np.testing.assert_allclose(got, jax.grad(f)(w.value), rtol=1e-3)
    cuts = after.cuts - before.cuts
    assert cuts >= 60 * 9 // limit - 1
    assert after.compilations - before.compilations <= 10  # the body is compiled once, not once for each cut


def test_a_loop_without_a_look_does_not_build_an_endless_program():
    x = autograd.tensor(1.0)
    before = autograd.cache_info()
    for _ in range(3000):
        x = x * 1.0001
    after = autograd.cache_info()
    assert after.cuts - before.cuts >= 10
    assert after.compilations - before.compilations <= 4
    np.testing.assert_allclose(x.item(), 1.0001**3000, rtol=1e-3)
    with pytest.raises(ValueError, match="max_segment"):
        autograd.max_segment(0)


def test_cache_clear():
    (autograd.tensor(1.0) * 2).item()
    assert autograd.cache_info().segments > 0
    pending = autograd.tensor(1.0) * 3
    autograd.cache_clear()
    assert autograd.cache_info() == autograd.CacheInfo(*[0] * len(autograd.CacheInfo._fields))
    assert pending.item() == 3


def test_cache_clear_lets_go_of_what_lifted_functions_close_over():
    def use():
        big = jnp.ones(1000)
        assert autograd.lift(lambda x: (x * big).sum())(autograd.tensor(2.0)).item() == 2000
        return weakref.ref(big)

    gone = use()
    autograd.cache_clear()
    jax.clear_caches()
    gc.collect()
    assert gone() is None


def test_graph_as_text_and_pictures(tmp_path):
    x = autograd.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x * x
    drawn = str(autograd.graph(y))
    assert "recorded, not yet run" in drawn
    assert "multiply(x, x)" in drawn
    assert "float32[2]" in drawn
    assert "[1. 2.]" in drawn
    assert "test_life.py:" in drawn
    assert y._s is not None  # nothing was computed
    y.realize()
    z = (y + 1).sum()
    drawn = str(autograd.graph(z))
    assert drawn.index("segment 1, has run") < drawn.index("recorded, not yet run")
    z.realize()
    picture = autograd.graph(z)
    assert "cluster_1" in picture.dot()
    assert picture.save(tmp_path / "g.dot").read_text().startswith("digraph")
    assert "sum" in picture.save(tmp_path / "g.txt").read_text()
    assert "no graph" in str(autograd.graph(x))
    with pytest.raises(TypeError, match="graph: a tensor is needed, got int"):
        autograd.graph(3)
    a, _ = autograd.lax.top_k(x, 1)
    assert "top_k" in str(autograd.graph(a))
    z.backward()
    assert "no graph" in str(autograd.graph(z))
    if shutil.which("dot"):
        assert b"<svg" in picture.save(tmp_path / "g.svg").read_bytes()
        assert picture.save(tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in picture._repr_svg_()


def test_without_graphviz_a_picture_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    picture = autograd.graph(autograd.tensor(1.0) * 2)
    assert picture._repr_svg_() is None
    with pytest.raises(RuntimeError, match="graphviz"):
        picture.save(tmp_path / "g.svg")


def test_the_protocol_for_optimizers():
    tree = {"w": autograd.Parameter([1.0, 2.0]), "b": autograd.Parameter(0.5), "name": "linear"}
    assert autograd.grads(tree)["w"] is None
    loss = (tree["w"] * 2).sum()
    loss.backward()
    grads = autograd.grads(tree)
    np.testing.assert_allclose(grads["w"], 2.0)
    assert grads["b"] is None
    assert isinstance(autograd.values(tree)["b"], jax.Array)
    autograd.assign([tree["w"]], [jnp.asarray([5.0, 6.0])])
    assert tree["w"].tolist() == [5, 6]
    assert tree["w"].is_leaf
    with pytest.raises(autograd.ShapeError):
        autograd.assign([tree["w"]], [jnp.zeros(3)])


def test_update_joins_forward_backward_and_step_in_one_program():
    def momentum(values, grads, state):
        state = jax.tree.map(lambda m, g: 0.9 * m + g, state, grads)
        return jax.tree.map(lambda v, m: v - 0.1 * m, values, state), state

    w = {"a": autograd.Parameter([1.0, 2.0]), "b": autograd.Parameter([0.5])}
    state = {"a": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)}
    values, m = autograd.values(w), dict(state)
    known = set(_program._PROGRAMS)
    for i in range(6):
        if i == 4:
            before = autograd.cache_info()
        loss = ((w["a"] * w["b"] - 3) ** 2).sum()
        loss.backward(lazy=True)
        state = autograd.update(momentum, w, state)
        grads = jax.grad(lambda v: ((v["a"] * v["b"] - 3) ** 2).sum())(values)
        values, m = momentum(values, grads, m)
        assert w["a"].grad is None
    after = autograd.cache_info()
    assert after.segments - before.segments == 2  # one a step
    results = [len(program.slots) for key, program in _program._PROGRAMS.items() if key not in known]
    assert max(results) == 5  # two values, two states, the loss: gradients are no results
    assert after.compilations == before.compilations
    jax.tree.map(lambda t, v: np.testing.assert_allclose(t.numpy(force=True), v, rtol=1e-5), w, values)


def test_any_number_of_structures_stays_within_bounds(monkeypatch):
    from nablax.autograd._path import _tries
    from nablax.autograd._program import _program

    monkeypatch.setattr(_tries, "MOST_STATES", 5_000)
    autograd.cache_clear()
    monkeypatch.setattr(_program._PROGRAMS, "most", 100)

    def counted():
        gc.collect()
        return collections.Counter(type(o).__name__ for o in gc.get_objects())

    before = counted()
    x = autograd.tensor([1.0, 2.0], requires_grad=True)

    def run(first, last):
        for i in range(first, last):
            y = x
            for bit in range(14):  # another structure for each i
                y = y * x if i >> bit & 1 else y + x
            y.sum().backward()
            x.zero_grad()

    run(0, 2_000)
    gc.collect()
    info = autograd.cache_info()
    assert info.states <= 5_100
    assert info.programs <= 100
    assert info.operations < 20
    alive = counted()
    assert alive["State"] - before["State"] <= 6_000
    assert alive["Program"] - before["Program"] <= 100


def test_a_structure_that_is_not_used_keeps_places_and_no_program(monkeypatch):
    """Programs, and what the first tier computes with, are those of what ran lately; one that runs again stays."""
    from nablax.autograd._operation import _call
    from nablax.autograd._program import _program

    def alive():
        gc.collect()
        return collections.Counter(type(o).__name__ for o in gc.get_objects())

    def run(x):
        y = (x * x).sum()
        y.backward()
        x.grad = None
        return y.item()

    autograd.cache_clear()
    monkeypatch.setattr(_program._PROGRAMS, "most", 20)
    monkeypatch.setattr(_call, "MOST_SHAPES", 10)
    often = autograd.tensor([1.0, 2.0], requires_grad=True)
    run(often)
    (first,) = _program._PROGRAMS.values()
    before = alive()
    for n in range(3, 203):
        run(autograd.tensor(np.ones(n), requires_grad=True))
        if n % 5 == 0:
            run(often)
    after = alive()
    assert first in _program._PROGRAMS.values()
    assert after["Program"] - before["Program"] <= 20
    assert after["Typed"] - before["Typed"] <= 4 * (20 + 10)
    assert run(autograd.tensor(np.ones(3), requires_grad=True)) == 3  # whose program was forgotten
    assert after["State"] - before["State"] >= 3 * 200


def test_what_is_remembered_is_bounded():
    """No table of a module grows with what a program does, but those that know a bound, or hold weakly."""

    def tables():
        wing = [m for name, m in list(sys.modules.items()) if name.startswith("nablax.autograd._")]
        bounded = Bounded | weakref.WeakValueDictionary
        return {
            (module.__name__, name): len(value)
            for module in wing
            for name, value in list(vars(module).items())
            if isinstance(value, dict | list | set) and not isinstance(value, bounded)
            if not name.startswith("__")
        }

    def work(first, last):
        for n in range(first, last):
            x = autograd.tensor(np.ones(n), requires_grad=True)
            scale = np.float32(n)
            y = autograd.lift(lambda v, scale=scale: v * scale)(x * n + x[n // 2])
            autograd.lift(eval(f"lambda v: v + {n}"))(y).reshape(n, 1).sum().backward()
            (x.tanh() if n % 2 else x.exp()).backward(np.ones(n))
            autograd.vjp(lambda v, n=n: v**n, x)[1](np.ones(n))
            autograd.numpy.concatenate([x.detach()] * n + [x]).sum().backward()

    work(1, 5)
    before = tables()
    work(5, 12)
    grown = {where for where, size in tables().items() if size > before.get(where, 0)}
    assert not grown


def test_shapes_that_nobody_uses_are_forgotten():
    from nablax.autograd._ground import _aval

    gc.collect()
    before = len(_aval._TABLE)
    for n in range(10_000, 16_000):
        _aval.intern((n,), np.dtype(np.float32), False)
    kept = _aval.intern((15_999,), np.dtype(np.float32), False)
    assert len(_aval._TABLE) <= before + 4096
    for n in range(20_000, 26_000):
        _aval.intern((n,), np.dtype(np.float32), False)
    assert _aval.intern((15_999,), np.dtype(np.float32), False) is kept


def test_inputs_of_many_shapes_count_as_states():
    autograd.cache_clear()
    x = autograd.tensor(1.0)
    for n in range(2, 102):
        before = autograd.cache_info().states
        (autograd.tensor(np.ones(n)) * x).realize()
        assert autograd.cache_info().states >= before + 3  # two inputs and an operation


def test_other_names_of_an_edge_count_as_states():
    """A call that is found as it was written, and a backward that is found by its root."""
    autograd.cache_clear()
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    sizes = []
    for _ in range(4):
        x.sum(0).backward()
        sizes.append(autograd.cache_info().states)
    state, found = _trace.local.trace.tries._roots, set()
    waiting = list(state.values())
    names = 0
    while waiting:
        here = waiting.pop()
        found.add(here)
        names += len(here.edges)
        waiting += set(here.edges.values()) - found
    assert sizes[-1] >= names
    assert sizes[-1] == sizes[-2]


def test_the_tries_of_a_thread_go_with_it():
    seen = []

    def work():
        x = autograd.tensor([1.0, 2.0], requires_grad=True)
        (x * x).sum().backward()
        seen.append(weakref.ref(_trace.local.trace))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    del thread
    gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize(
    "like",
    [
        lambda p: autograd.numpy.zeros_like(p),
        lambda p: autograd.numpy.ones_like(p),
        lambda p: p.detach().clone(),
    ],
)
def test_what_a_loop_starts_with_is_no_part_of_its_first_step(like):
    p = autograd.tensor([1.0, 2.0], requires_grad=True)
    velocity = like(p)
    assert not velocity.requires_grad
    assert velocity.dtype == p.dtype
    programs = []
    for _ in range(3):
        (p * p).sum().backward()
        with autograd.no_grad():
            velocity = 0.5 * velocity + p.grad
            p -= 0.1 * velocity
        p.grad = None
        programs.append(autograd.cache_info().programs)
    assert programs[0] == programs[2]
