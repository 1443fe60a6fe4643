"""Attention with several heads and the transformers, with torch's weights against torch."""

import numpy as np
import pytest

import nablax
from nablax import autograd
from nablax.autograd import nn

R = np.random.default_rng(0)
BATCH, LONG, SHORT, WIDTH = 3, 5, 4, 8
X, Y = (R.normal(size=(BATCH, n, WIDTH)).astype(np.float32) for n in (LONG, SHORT))
HIDDEN = np.arange(LONG) >= np.array([[5], [3], [4]])  # the rest of each sequence is padding
LATER = np.triu(np.ones((LONG, LONG), bool), 1)
ADDED = np.where(LATER, -np.inf, R.normal(size=LATER.shape)).astype(np.float32)
EACH = R.random((BATCH * 2, SHORT, LONG)) < 0.3
EACH[..., 0] = False

LAYER = "nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True"
DECODER = "nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)"
CASES = {  # one expression that both take, its arguments, and those with names
    "itself": ("nn.MultiheadAttention(8, 2, batch_first=True)", [X, X, X], {}),
    "of another": ("nn.MultiheadAttention(8, 4, bias=False, batch_first=True)", [Y, X, X], {}),
    "padding": ("nn.MultiheadAttention(8, 2, batch_first=True)", [Y, X, X], {"key_padding_mask": HIDDEN}),
    "a mask": ("nn.MultiheadAttention(8, 2, batch_first=True)", [X, X, X], {"attn_mask": LATER}),
    "a mask to add": ("nn.MultiheadAttention(8, 2, batch_first=True)", [X, X, X], {"attn_mask": ADDED}),
    "a mask a head": ("nn.MultiheadAttention(8, 2, batch_first=True)", [Y, X, X], {"attn_mask": EACH}),
    "weights of heads": ("nn.MultiheadAttention(8, 2)", [X, X, X], {"average_attn_weights": False}),
    "no weights": ("nn.MultiheadAttention(8, 2)", [X, X, X], {"need_weights": False}),
    "widths": ("nn.MultiheadAttention(8, 2, kdim=5, vdim=4)", [X, X[..., :5], X[..., :4]], {}),
    "one more": ("nn.MultiheadAttention(8, 2, 0.0, True, True, True, 5)", [Y, X[:, :4, :5], X[:, :4]],
                 {"attn_mask": LATER[:3, :3]}),
    "zeros more": ("nn.MultiheadAttention(8, 2, add_zero_attn=True, batch_first=True)", [Y, X, X],
                   {"key_padding_mask": HIDDEN}),
    "alone": ("nn.MultiheadAttention(8, 2)", [Y[0], X[0], X[0]], {"key_padding_mask": HIDDEN[1]}),
    "layer": (f"{LAYER})", [X], {"src_mask": LATER, "is_causal": True}),
    "layer, normalised before": (f"{LAYER}, norm_first=True, activation='gelu', bias=False)", [X], {}),
    "encoder": (f"nn.TransformerEncoder({LAYER}), 2, nn.LayerNorm(8))", [X], {"mask": ADDED}),
    "decoder": (f"nn.TransformerDecoder({DECODER}, 2)", [X, Y], {"tgt_mask": LATER}),
    "transformer": ("nn.Transformer(8, 2, 1, 2, 16, dropout=0.0, batch_first=True)", [X, Y],
                    {"src_key_padding_mask": HIDDEN, "memory_key_padding_mask": HIDDEN}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name):
    torch = pytest.importorskip("torch")
    expression, args, named = CASES[name]
    theirs, ours = eval(expression, {"nn": torch.nn}), eval(expression, {"nn": nn})
    weights = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in weights.items()
    }
    assert list(ours.state_dict()) == list(weights)
    ours.load_state_dict({k: autograd.tensor(v) for k, v in weights.items()})

    def of(lib, module):
        given = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in named.items()}
        leaves = [lib.tensor(a, requires_grad=True) for a in args]
        out = module(*leaves, **given)
        outs = [x for x in out if x is not None] if isinstance(out, tuple) else [out]
        sum((x * x * (i + 1)).sum() for i, x in enumerate(outs)).backward()
        parameters = {k: p.grad.numpy() for k, p in module.named_parameters()}
        return [x.detach().numpy() for x in outs], [x.grad.numpy() for x in leaves], parameters

    (a, ga, pa), (b, gb, pb) = of(autograd, ours), of(torch, theirs)
    assert len(a) == len(b)
    for mine, their in zip([*a, *ga], [*b, *gb], strict=True):
        np.testing.assert_allclose(mine, their, rtol=1e-3, atol=1e-5)
    for k in pb:
        np.testing.assert_allclose(pa[k], pb[k], rtol=1e-3, atol=1e-4, err_msg=k)


def test_without_a_mask_causal_hides_what_comes_later():
    attend = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    x = autograd.tensor(X)
    alike = attend(x, x, x, attn_mask=nn.Transformer.generate_square_subsequent_mask(LONG))
    for mine, same in zip(attend(x, x, x, is_causal=True), alike, strict=True):
        np.testing.assert_array_equal(mine.detach().numpy(), same.detach().numpy())
    assert (alike[1].detach().numpy()[:, LATER] == 0).all()


def test_layers_of_a_stack_begin_alike_and_are_their_own():
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16)
    first, second = nn.TransformerEncoder(layer, 2).layers
    assert first.linear1.weight is not second.linear1.weight
    np.testing.assert_array_equal(
        first.linear1.weight.detach().numpy(), second.linear1.weight.detach().numpy()
    )


def test_weights_begin_as_torchs():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0), autograd.manual_seed(0)
    for expression in ("nn.MultiheadAttention(64, 4)", "nn.MultiheadAttention(64, 4, kdim=32)",
                       "nn.Transformer(64, 4, 1, 1, 96, batch_first=True)"):  # fmt: skip
        theirs, ours = eval(expression, {"nn": torch.nn}), eval(expression, {"nn": nn})
        for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            a, b = a.detach().numpy(), b.numpy()
            spread = 5 * b.std() / b.size**0.5
            assert abs(a.mean() - b.mean()) <= 2 * spread, name
            assert abs(a.std() - b.std()) <= 0.2 * b.std(), name
            assert np.abs(a).max() <= 1.05 * np.abs(b).max(), name


def test_dropout_is_drawn_in_training_alone():
    layer = nn.TransformerDecoderLayer(WIDTH, 2, 16, dropout=0.5)
    x, memory = autograd.tensor(Y), autograd.tensor(X[:, :, :])
    x, memory = x.swapaxes(0, 1), memory.swapaxes(0, 1)
    once, again = (layer(x, memory).detach().numpy() for _ in range(2))
    assert not np.array_equal(once, again)
    layer.eval()
    once, again = (layer(x, memory).detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_arguments_have_torchs_names():
    layer = nn.TransformerEncoderLayer(d_model=WIDTH, nhead=2, dim_feedforward=16)
    made = nn.TransformerEncoder(encoder_layer=layer, num_layers=2, norm=None, enable_nested_tensor=False)
    assert len(made.layers) == 2
    layer = nn.TransformerDecoderLayer(d_model=WIDTH, nhead=2, dim_feedforward=16)
    assert len(nn.TransformerDecoder(decoder_layer=layer, num_layers=3).layers) == 3
    for wrong in ({"layers": 2}, {"num_layer": 2}):
        with pytest.raises(TypeError, match=f"'{next(iter(wrong))}'"):
            nn.TransformerDecoder(layer, 2, **wrong)


def test_what_is_refused():
    with pytest.raises(ValueError, match="embed_dim must be a multiple of num_heads, got 8 and 3"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match="activation must be 'relu', 'gelu' or a function, got 'tanh'"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")


def test_masks_that_do_not_fit_are_refused():
    attend = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    x, hidden = autograd.tensor(X), autograd.tensor(HIDDEN)
    for word, mask, said in (
        ("key_padding_mask", hidden.T, r"of shape \(3, 5\), got \(5, 3\)"),
        (
            "key_padding_mask",
            hidden.int(),
            "truth values, True for what is hidden, or floating numbers, got int32",
        ),
        ("attn_mask", autograd.tensor(LATER[:1]), r"of shape \(5, 5\) or \(6, 5, 5\), got \(1, 5\)"),
        ("attn_mask", autograd.tensor(EACH), r"of shape \(5, 5\) or \(6, 5, 5\), got \(6, 4, 5\)"),
    ):
        with pytest.raises(ValueError, match=f"MultiheadAttention: {word} must .*{said}"):
            attend(x, x, x, **{word: mask})


def test_the_mask_of_a_transformer_takes_torchs_options():
    mask = nn.Transformer.generate_square_subsequent_mask(3, device="cpu", dtype=autograd.float16)
    assert mask.dtype == autograd.float16
    assert mask.tolist() == [[0, -np.inf, -np.inf], [0, 0, -np.inf], [0, 0, 0]]


def test_a_transformer_learns_to_turn_a_sequence_round():
    autograd.manual_seed(0)
    rng = np.random.default_rng(1)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.places = nn.Embedding(6, 16), nn.Embedding(5, 16)
            self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True), 1)
            self.out = nn.Linear(16, 6)

        def forward(self, x):
            return self.out(self.body(self.embed(x) + self.places(autograd.arange(5))))

    model = Model()
    opt = nablax.Optimizer(nablax.adam(1e-2), list(model.parameters()))
    for _ in range(120):
        x = rng.integers(0, 6, (16, 5))
        loss = nn.functional.cross_entropy(
            model(autograd.tensor(x)).reshape(-1, 6), autograd.tensor(x[:, ::-1].ravel())
        )
        loss.backward()
        opt.step()
        opt.zero_grad()
    assert loss.item() < 0.2
