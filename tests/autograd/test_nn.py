"""Modules, init, random numbers and the small things of torch's, against torch where it has them."""

import copy
import pickle

import numpy as np
import pytest

import nablax
from nablax import autograd
from nablax.autograd import nn

R = np.random.default_rng(0)
IMAGES, ROWS = R.normal(size=(4, 3, 8, 8)).astype(np.float32), R.normal(size=(4, 6)).astype(np.float32)
WORDS, CLASSES = np.array([[1, 0, 3], [2, 2, 4]]), np.array([0, 1, 1, 0])

MODULES = {  # one expression that both take, and an input
    "mlp": ("nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.0), nn.Linear(5, 2, bias=False))", ROWS),
    "cnn": ("nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), "
            "nn.Conv2d(4, 2, 3, stride=2), nn.Flatten(), nn.Linear(2, 2))", IMAGES),
    "upwards": ("nn.Sequential(nn.ConvTranspose2d(3, 2, 3, stride=2), nn.GroupNorm(1, 2), nn.SiLU())", IMAGES),
    "words": ("nn.Sequential(nn.Embedding(5, 4, padding_idx=0), nn.LayerNorm(4), nn.GELU())", WORDS),
    "norms": ("nn.Sequential(nn.BatchNorm1d(6), nn.RMSNorm(6), nn.LeakyReLU(0.2), nn.Softmax(dim=1))", ROWS),
    "gru": ("nn.GRUCell(6, 3)", ROWS), "rnn": ("nn.RNNCell(6, 3)", ROWS), "lstm": ("nn.LSTMCell(6, 3)", ROWS),
    "gru layers": ("nn.GRU(8, 3, num_layers=2, bidirectional=True, batch_first=True)", IMAGES[:, 0, :3]),
    "lstm layers": ("nn.LSTM(6, 3, 2, bias=False)", ROWS),
    "rnn layers": ("nn.RNN(8, 3, nonlinearity='relu')", IMAGES[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_torchs(name):
    torch = pytest.importorskip("torch")
    expression, data = MODULES[name]
    theirs = eval(expression, {"nn": torch.nn})
    ours = eval(expression, {"nn": nn})
    weights = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(weights)
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in weights.items()
    }
    ours.load_state_dict({k: autograd.tensor(v) for k, v in weights.items()})
    for training in (True, False):
        ours.train(training), theirs.train(training)
        a, b = ours(autograd.tensor(data)), theirs(torch.tensor(data))
        a, b = (a[0], b[0]) if isinstance(b, tuple) else (a, b)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
        (a * a).sum().backward(), (b * b).sum().backward()
        grads = dict(theirs.named_parameters())
        for k, p in ours.named_parameters():
            np.testing.assert_allclose(p.grad.numpy(), grads[k].grad.numpy(), rtol=1e-3, atol=1e-4, err_msg=k)
    for k, v in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[k].numpy(), v.numpy(), rtol=1e-4, atol=1e-5, err_msg=k)


def test_training_a_module():
    autograd.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    loss_fn, losses = nn.CrossEntropyLoss(), []
    for _ in range(30):
        loss = loss_fn(model(autograd.tensor(ROWS)), autograd.tensor(CLASSES))
        model.zero_grad()
        loss.backward()
        with autograd.no_grad():
            for p in model.parameters():
                p -= 0.3 * p.grad
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert "(0): Linear(in_features=6, out_features=8, bias=True)" in repr(model)


def test_what_a_module_refuses():
    class Early(nn.Module):
        def __init__(self):
            self.w = nn.Parameter([1.0])

    with pytest.raises(AttributeError, match=r"Early: call super\(\).__init__\(\)"):
        Early()
    with pytest.raises(KeyError, match="missing"):
        nn.Linear(2, 1).load_state_dict({})
    with pytest.raises(ValueError, match="weight"):
        nn.Linear(2, 1).load_state_dict({"weight": autograd.zeros(2, 2), "bias": autograd.zeros(1)})
    with pytest.raises(TypeError, match="GELU: options are approximate"):
        nn.GELU(wrong=1)
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_weights_begin_as_torchs():
    autograd.manual_seed(1)
    weight = autograd.Parameter(np.zeros((300, 200), np.float32))
    for fill, bound in (
        (nn.init.xavier_uniform_, (6 / 500) ** 0.5),
        (nn.init.kaiming_uniform_, (6 / 200) ** 0.5),
    ):
        fill(weight)
        assert 0.99 * bound < abs(weight.detach()).max().item() <= bound
        assert weight.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    for fill, std in ((nn.init.xavier_normal_, (2 / 500) ** 0.5), (nn.init.kaiming_normal_, 0.1)):
        assert fill(weight).detach().std().item() == pytest.approx(std, rel=0.02)
    q = nn.init.orthogonal_(weight, gain=2).detach().numpy()
    np.testing.assert_allclose(q.T @ q, 4 * np.eye(200), atol=1e-4)
    assert abs(nn.init.trunc_normal_(weight, std=3.0).detach()).max().item() <= 2
    assert weight.requires_grad
    assert weight.is_leaf
    with pytest.raises(ValueError, match="at least 2 axes"):
        nn.init.xavier_uniform_(autograd.zeros(3))


def test_random_numbers():
    a = autograd.manual_seed(3) and autograd.randn(4, 5)
    b = autograd.manual_seed(3) and autograd.randn((4, 5))
    assert bool((a == b).all())
    state = autograd.get_rng_state()
    c = autograd.rand(1000)
    autograd.set_rng_state(state)
    assert bool((c == autograd.rand(1000)).all())
    assert 0 <= c.min().item() <= c.max().item() < 1
    assert sorted(autograd.randperm(7).tolist()) == list(range(7))
    assert set(autograd.randint(2, 5, (100,)).tolist()) == {2, 3, 4}
    assert autograd.randint(3, (2, 2)).shape == (2, 2)
    mean = autograd.tensor([0.0, 100.0], requires_grad=True)
    drawn = autograd.normal(mean, 1.0)
    drawn.sum().backward()
    assert mean.grad.tolist() == [1.0, 1.0]
    assert drawn[1].item() > 90
    p = autograd.tensor([0.0, 1.0, 0.5])
    assert autograd.bernoulli(p)[:2].tolist() == [0.0, 1.0]
    counts = autograd.bincount(autograd.multinomial(autograd.tensor([0.0, 1.0, 3.0]), 4000, replacement=True))
    assert counts[0].item() == 0
    assert counts[2].item() == pytest.approx(3000, abs=150)
    assert sorted(autograd.multinomial(autograd.tensor([[1.0, 1.0, 0.0]]), 2)[0].tolist()) == [0, 1]
    with pytest.raises(RuntimeError, match="without replacement"):
        autograd.multinomial(autograd.tensor([1.0, 0.0]), 2)
    x = autograd.ones(2000, requires_grad=True)
    y = nn.functional.dropout(x, 0.25)
    y.sum().backward()
    assert set(np.unique(x.grad.numpy()).round(4)) == {0, np.float32(1.3333)}
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
    hard = nn.functional.gumbel_softmax(autograd.zeros(5, 3), hard=True)
    assert hard.sum(1).tolist() == pytest.approx([1.0] * 5)
    z = autograd.empty(3000).normal_(2.0, 0.5)
    assert z.mean().item() == pytest.approx(2, abs=0.05)
    assert z.uniform_(-1, 0).max().item() < 0


def test_modes():
    x = autograd.tensor([1.0], requires_grad=True)
    autograd.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    autograd.set_grad_enabled(True)
    with autograd.set_grad_enabled(False):
        assert not autograd.is_grad_enabled()
    assert autograd.is_grad_enabled()
    with autograd.inference_mode():
        assert not (x * 2).requires_grad
    with autograd.inference_mode(False):
        assert (x * 2).requires_grad
    assert not autograd.inference_mode()(lambda: (x * 2).requires_grad)()


def test_small_things():
    x = autograd.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    assert (x.size(), x.size(1), x.size, x.numel(), x.stride()) == ((1, 3), 3, 3, 3, (3, 1))
    assert type(pickle.loads(pickle.dumps(x.size))) is int
    assert x.grad_fn is None
    assert repr((x * 2).grad_fn) == "<MultiplyBackward>"
    assert f"{x.sum():.3f}" == "6.000"
    assert x.to("cpu").shape == (1, 3)
    assert x.to(device="cpu", dtype=autograd.half).dtype == np.float16
    with pytest.raises(RuntimeError, match="device 'tpu:9': JAX has none here"):
        x.to("tpu:9")
    with pytest.warns(UserWarning, match="double|float64: float64 needs x64"):
        x.double()
    for like in (
        autograd.zeros_like(x),
        autograd.numpy.zeros_like(x),
        autograd.numpy.ones_like(x, dtype="float32"),
    ):
        assert not like.requires_grad
    assert not autograd.ones_like(x).requires_grad
    assert autograd.zeros(2, 3).shape == autograd.zeros((2, 3)).shape == (2, 3)
    assert x.new_zeros(2).dtype == x.dtype
    y = x * 2
    y.detach_()
    assert not y.requires_grad
    zero = autograd.tensor([0.0, 0.0, 1.0], requires_grad=True)
    autograd.linalg.norm(zero, 0).backward()
    assert zero.grad.tolist() == [0.0, 0.0, 0.0]
    assert autograd.numpy.sum(x, dim=1).shape == (1,)
    assert autograd.nn.softmax(x, dim=0).tolist() == [[1.0, 1.0, 1.0]]
    names = {"cat", "randn", "relu", "softmax", "manual_seed", "cdist", "is_tensor"}
    assert names <= set(dir(autograd))
    total = nn.utils.clip_grad_norm_([zero], 1.0)
    assert total.item() == 0


def test_numpys_words_mean_numpys_functions():
    x = autograd.tensor([[3.0, 1.0], [2.0, 4.0]])
    assert x.max(axis=1).tolist() == [3.0, 4.0]
    assert x.sort(axis=0).tolist() == [[2.0, 1.0], [3.0, 4.0]]
    assert x.median(axis=1).tolist() == [2.0, 3.0]
    assert x.repeat(2, axis=0).shape == (4, 2)
    assert x.std(ddof=0).item() == pytest.approx(np.std(x.numpy()))
    assert x.norm(ord=1).item() == 5
    assert x.transpose(1, 0).tolist() == x.transpose().tolist() == [[3.0, 2.0], [1.0, 4.0]]
    assert autograd.max(x, axis=0).tolist() == [3.0, 4.0]
    assert autograd.numpy.std(x).item() == pytest.approx(np.std(x.numpy()))
    with pytest.raises(ValueError, match=r"x\.repeat\(2, axis=0\).*repeat_interleave"):
        x.repeat(2).realize()


def test_modules_are_imported_by_name():
    import nablax.autograd.nn.functional as f
    import nablax.autograd.numpy as jnp

    assert jnp.sin(autograd.tensor(0.0)).item() == 0
    assert f.relu(autograd.tensor(-1.0)).item() == 0


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_states_of_recurrent_networks_are_torchs(kind):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind)(6, 3, num_layers=2, bidirectional=True, dropout=0.2).eval()
    ours = getattr(nn, kind)(6, 3, num_layers=2, bidirectional=True, dropout=0.2).eval()
    ours.load_state_dict({k: autograd.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    for x, start in ((R.normal(size=(5, 2, 6)), R.normal(size=(4, 2, 3))), (ROWS, R.normal(size=(4, 3)))):
        x, start = x.astype(np.float32), start.astype(np.float32)
        given = [(library.tensor(x), library.tensor(start)) for library in (autograd, torch)]
        found = [
            net(a, (h, 2 * h) if kind == "LSTM" else h)
            for net, (a, h) in zip((ours, theirs), given, strict=True)
        ]
        for a, b in zip(*[(out, *(end if kind == "LSTM" else [end])) for out, end in found], strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=rf"{kind}: an input of shape \(length, batch, 6\) is needed"):
        ours(autograd.zeros(2, 3, 4))


def test_the_first_lines_of_a_tutorial():
    device = autograd.device("cuda" if autograd.cuda.is_available() else "cpu")
    x = autograd.ones(2, 3, device=device)
    assert x.to(device).size() == autograd.Size([2, 3])
    assert autograd.cuda.device_count() >= 0
    assert autograd.autograd.grad((x.requires_grad_() ** 2).sum(), [x])[0].tolist() == [[2.0] * 3] * 2
    assert autograd.FloatTensor([1, 2]).dtype == autograd.get_default_dtype() == np.float32
    assert autograd.LongTensor(2, 3).tolist() == [[0, 0, 0]] * 2
    assert autograd.randint(high=5, size=(4,)).shape == (4,)
    square = autograd.zeros(2, 2)
    square.fill_diagonal_(3)
    assert square.tolist() == [[3.0, 0.0], [0.0, 3.0]]
    assert {"special", "scipy", "cat"} <= set(dir(autograd))
    with pytest.raises(AttributeError, match=r"no attribute 'optim'; an optimizer is nablax\.Optimizer"):
        autograd.optim  # noqa: B018
    with pytest.raises(RuntimeError, match="JAX has none here"):
        autograd.device("cuda", 99)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [7, 0]])
@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy"])
def test_a_class_that_is_not_there_is_never_another_one(loss, labels):
    scores = autograd.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    call = getattr(nn.functional, loss)
    with pytest.raises(IndexError, match=rf"{loss}: target must lie in 0 to 2, got -?\d. At .*test_nn.py"):
        call(scores, autograd.tensor(labels))
    assert np.isnan(call(scores, autograd.tensor(labels) + 0).item())  # only recorded
    assert np.isfinite(call(scores, autograd.tensor([0, -100])).item())


@pytest.mark.parametrize(
    ("name", "args"), [("max_pool2d", (2, 1, 1, 2)), ("adaptive_max_pool2d", ((3, 2),))], ids=str
)
def test_of_equal_maxima_the_first_of_a_window_takes_the_gradient(name, args):
    torch = pytest.importorskip("torch")

    image = np.round(np.random.default_rng(0).standard_normal((1, 2, 7, 6))).astype(np.float32)
    x, y = autograd.tensor(image, requires_grad=True), torch.tensor(image, requires_grad=True)
    ours = getattr(autograd.nn.functional, name)(x, *args)
    theirs = getattr(torch.nn.functional, name)(y, *args)
    weights = np.arange(theirs.numel(), dtype=np.float32).reshape(theirs.shape)
    (ours * weights).sum().backward()
    (theirs * torch.tensor(weights)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())


MADE = {  # layers with weights, and an input
    "Linear(6, 2)": ROWS, "Conv2d(3, 2, 3)": IMAGES, "ConvTranspose2d(3, 2, 3)": IMAGES, "Embedding(5, 4)": WORDS,
    "LayerNorm(6)": ROWS, "RMSNorm(6)": ROWS, "GroupNorm(1, 3)": IMAGES, "BatchNorm1d(6)": ROWS, "GRUCell(6, 3)": ROWS,
    "RNN(6, 3)": ROWS, "LSTM(6, 3)": ROWS, "TransformerEncoderLayer(6, 2, 8)": ROWS,
}  # fmt: skip


@pytest.mark.parametrize("layer", MADE)
def test_a_layer_is_made_on_a_device_and_in_a_dtype(layer):
    device = autograd.device("cpu")
    made = eval(
        layer[:-1] + ", device=device, dtype=autograd.bfloat16)",
        {"device": device, "autograd": autograd, **vars(nn)},
    )
    for name, value in made.state_dict().items():
        assert value.dtype == (np.int32 if name == "num_batches_tracked" else autograd.bfloat16), name
        assert value.device == device
    data = autograd.tensor(MADE[layer])
    output = made(data if layer.startswith("Emb") else data.to(autograd.bfloat16))
    (output[0] if isinstance(output, tuple) else output).float().sum().backward()
    for parameter in made.parameters():
        assert parameter.requires_grad
        assert parameter.grad is None or parameter.grad.dtype == autograd.bfloat16
    assert made.float() is made
    assert {str(p.dtype) for p in made.parameters()} == {"float32"}
    with pytest.raises(TypeError, match="to: dtype must be floating or complex, got int32"):
        made.to(autograd.int32)


def test_hooks_around_a_forward():
    model, seen = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), []
    x = autograd.tensor(ROWS)
    plain = model(x).detach().numpy()
    first = model[1].register_forward_hook(lambda module, args, output: seen.append((module, args, output)))
    model(x)
    ((module, args, output),) = seen
    assert module is model[1]
    np.testing.assert_array_equal(output.numpy(force=True), np.maximum(args[0].numpy(force=True), 0))
    first.remove()
    second = model[1].register_forward_hook(lambda module, args, output: 0 * output)
    np.testing.assert_allclose(model(x).detach().numpy(), np.tile(model[2].bias.detach().numpy(), (4, 1)))
    second.remove()
    third = model.register_forward_pre_hook(lambda module, args: args[0] * 0)
    fourth = model.register_forward_pre_hook(lambda module, args: (args[0] + x,))
    np.testing.assert_allclose(model(autograd.tensor(7 * ROWS)).detach().numpy(), plain, rtol=1e-6)
    third.remove(), fourth.remove()
    np.testing.assert_array_equal(model(x).detach().numpy(), plain)
    assert len(seen) == 1
    calls = []
    for name, options in (("a", {}), ("b", {}), ("c", {"prepend": True})):
        model.register_forward_pre_hook(lambda *given, name=name: calls.append(name), **options)
    model.register_forward_pre_hook(
        lambda module, args, named: ((), {"input": named["input"] * 0}), with_kwargs=True
    )
    model.register_forward_hook(lambda *given: calls.append((len(given), [*given[2]])), with_kwargs=True)
    model.register_forward_hook(lambda *given: calls.append(len(given)), prepend=True)
    np.testing.assert_allclose(model(input=x).detach().numpy(), model.forward(0 * x).detach().numpy())
    assert calls == ["c", "a", "b", 3, (4, ["input"])]
    with pytest.raises(TypeError, match="Linear: hook must be a function, got int"):
        model[0].register_forward_hook(3)


def test_an_embedding_of_a_given_matrix():
    weight = autograd.tensor([[1.0, 2.0], [3.0, 4.0]])
    autograd.manual_seed(0)
    made = nn.Embedding.from_pretrained(weight)
    drawn = autograd.rand(3)
    autograd.manual_seed(0)
    assert drawn.tolist() == autograd.rand(3).tolist()  # none was drawn for the embedding
    assert made(autograd.tensor([1, 0])).tolist() == [[3, 4], [1, 2]]
    assert not made.weight.requires_grad
    assert nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=0).weight.requires_grad
    with pytest.raises(ValueError, match="Embedding: embeddings must be a matrix"):
        nn.Embedding.from_pretrained(weight[0])


def test_modules_are_pickled_and_copied_with_their_optimizer():
    model = nn.Sequential(
        nn.Linear(6, 4), nn.Tanh(), nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), nn.GELU()
    )
    opt = nablax.Optimizer(nablax.adamw(1e-2), model.parameters())

    def train(model, opt):
        opt.zero_grad()
        (model(autograd.tensor(ROWS)) ** 2).sum().backward()
        opt.step()

    train(model, opt)
    again = [copy.deepcopy((model, opt)), pickle.loads(pickle.dumps((model, opt)))]
    for other, stepped in again:
        assert next(iter(other.parameters())) is stepped.params[0]
        assert stepped.params[0] is not opt.params[0]
    for pair in ((model, opt), *again):
        train(*pair)
        train(*pair)
    for other, _ in again:
        for name, value in other.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), model.state_dict()[name].numpy())


def test_a_module_moves_with_its_gradients():
    layer, x = nn.Linear(2, 2), autograd.ones(1, 2)
    layer(x).sum().backward()
    layer.half()
    assert layer.weight.grad.dtype == np.float16
    layer(x.half()).sum().backward()
    assert (layer.weight.grad.dtype, layer.weight.grad.tolist()) == (np.float16, [[2, 2], [2, 2]])
