"""autograd.save and load: .npz beside NumPy, .safetensors beside the package of that name."""

import io

import jax
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import nn

bfloat16 = jax.numpy.bfloat16
ARRAYS = {
    "half": np.array([1.5, -2.5], bfloat16),
    "file": np.arange(6, dtype=np.int32).reshape(2, 3),  # also the name of an argument of np.savez
    "a/b.weight": np.linspace(-1, 1, 5, dtype=np.float32)[::2],
    "turned": np.arange(6.0, dtype=np.float16).reshape(2, 3).T,
    "flag": np.array([True, False]),
    "number": np.float32(3),
    "none": np.zeros((0, 3), np.float32),
    "bytes": np.array([0, 255], np.uint8),
}


def same(found, wanted):
    assert sorted(found) == sorted(wanted)
    for name, value in wanted.items():
        got = np.asarray(found[name])
        assert (got.dtype, got.shape) == (value.dtype, value.shape), name
        np.testing.assert_array_equal(got.astype(np.float32), value.astype(np.float32), name)


@pytest.mark.parametrize("name", ["a.npz", "a.pt", "a.safetensors"])
def test_what_is_saved_comes_back(name, tmp_path):
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    model = nn.BatchNorm1d(3)
    tensors = {k: autograd.tensor(v) for k, v in ARRAYS.items()}
    autograd.save({"model": model.state_dict(), "inner": {"deep": tensors}, "step": 3}, tmp_path / name)
    found = autograd.load(tmp_path / name)
    same({k[11:]: v for k, v in found.items() if k.startswith("inner.deep.")}, ARRAYS)
    assert found["step"].item() == 3
    nn.BatchNorm1d(3).load_state_dict({k[6:]: v for k, v in found.items() if k.startswith("model.")})
    assert len(found) == len(ARRAYS) + 6


def test_safetensors_reads_what_is_written_and_the_other_way(tmp_path):
    from_numpy = pytest.importorskip("safetensors.numpy")
    from_flax = pytest.importorskip("safetensors.flax")
    x = autograd.tensor([1.0], requires_grad=True) * 2
    autograd.save({**ARRAYS, "computed": x, "wide": np.array([1 / 3])}, tmp_path / "ours.safetensors")
    with jax.enable_x64(True):
        found = from_flax.load_file(tmp_path / "ours.safetensors")
    same(found, {**ARRAYS, "computed": np.array([2.0], np.float32), "wide": np.array([1 / 3])})
    from_numpy.save_file(
        {k: np.ascontiguousarray(v) for k, v in ARRAYS.items()}, tmp_path / "theirs.safetensors"
    )
    same(autograd.load(tmp_path / "theirs.safetensors"), {**ARRAYS, "number": np.ones(1, np.float32) * 3})
    with pytest.raises(TypeError, match=r"complex128\. A \.npz file takes all"):
        autograd.save({"z": np.array([1j])}, tmp_path / "z.safetensors")


def test_torch_reads_what_is_written_and_the_other_way(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    model, other = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    autograd.save(model.state_dict(), tmp_path / "ours.safetensors")
    other.load_state_dict(theirs.load_file(tmp_path / "ours.safetensors"))
    np.testing.assert_array_equal(other.weight.detach().numpy(), model.weight.detach().numpy())
    other = torch.nn.Linear(3, 2).bfloat16()
    theirs.save_file(other.state_dict(), tmp_path / "theirs.safetensors")
    found = autograd.load(tmp_path / "theirs.safetensors")
    assert found["weight"].dtype == bfloat16
    np.testing.assert_array_equal(found["weight"].float().numpy(), other.weight.detach().float().numpy())
    torch.save(other.state_dict(), tmp_path / "pickle.pt")
    with pytest.raises(ValueError, match=r"pickle\.pt is neither .* is a pickle"):
        autograd.load(tmp_path / "pickle.pt")


def test_numpy_reads_what_is_written_and_the_other_way(tmp_path):
    plain = {k: v for k, v in ARRAYS.items() if v.dtype != bfloat16}
    autograd.save(plain, tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as found:
        same(found, plain)
    np.savez(tmp_path / "theirs.npz", **{k: v for k, v in plain.items() if k != "file"})
    same(autograd.load(tmp_path / "theirs.npz"), {k: v for k, v in plain.items() if k != "file"})
    file = io.BytesIO()
    autograd.save(ARRAYS, file)
    file.seek(0)
    same(autograd.load(file), ARRAYS)


def test_what_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"save\(module\.state_dict\(\), path\)"):
        autograd.save(nn.Linear(2, 1), tmp_path / "b.npz")
    with pytest.raises(TypeError, match="set at 'x.y'"):
        autograd.save({"x": {"y": {1}}}, tmp_path / "b.npz")
    with pytest.raises(TypeError, match="numbers are needed, got dtype <U1 at 'x'"):
        autograd.save({"x": np.array(["a"])}, tmp_path / "b.npz")
    with pytest.raises(TypeError, match="names must be strings, got 1"):
        autograd.save({1: 2.0}, tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"every name must be there once.*got 'a\.b' again"):
        autograd.save({"a.b": 1, "a": {"b": 2}}, tmp_path / "b.npz")
    assert not (tmp_path / "b.npz").exists()
    np.savez(tmp_path / "evil.npz", x=np.array([{1}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        autograd.load(tmp_path / "evil.npz")
    np.save(tmp_path / "one.npy", np.ones(2))
    with pytest.raises(ValueError, match="one array without a name"):
        autograd.load(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError):
        autograd.load(tmp_path / "nowhere.npz")
