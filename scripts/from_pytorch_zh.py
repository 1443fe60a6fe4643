"""The page From PyTorch in Chinese: `python -m scripts.from_pytorch_zh` writes docs/zh/from-pytorch.md.

Names and signatures come from the English page, which is made from the tables; prose and remarks are translated here.
"""

from __future__ import annotations

import re
from pathlib import Path

from nablax.autograd._torch._page import HEAD, page
from scripts.drawing import save

OUT = Path(__file__).parent.parent / "docs" / "zh" / "from-pytorch.md"

HEAD_ZH = """# 来自 PyTorch

*由 `python -m scripts.from_pytorch_zh` 根据 `src/nablax/autograd/_tensor/_torch` 中的表格生成；请勿手动修改。*

```python
from nablax import autograd as torch
from nablax.autograd import nn
import nablax.autograd.nn.functional as F
```

这里有的 torch 名字，做的就是它在 torch 里做的事：每一行的值、梯度、dtype 和形状都与 torch 对照测试过（包括 torch 自己的样例：`benchmarks/torch_operators.py`）。NumPy 的用词保留 NumPy 的含义：带有 `axis=`、`keepdims=`、`ddof=`、`ord=` 或 `axes=` 时，方法和顶层函数就是 NumPy 的（`x.max(axis=1)` 是一个数组，`x.max(1)` 和 `x.max(dim=1)` 是值与下标）。`autograd.numpy`、`.linalg`、`.fft`、`.scipy` 是 JAX 的，其中轴也可以叫作 `dim=` 和 `keepdim=`。

## 处处有意不同之处

- 对单个张量，`autograd.grad(y, x)` 就是梯度，而不是元组；对它取 `[0]` 或拆包会报错。`autograd.grad(y, [x])[0]` 在两边都对。
- 对视图（`y[0]`、`y.view(-1)`、`y.T`、`p.data`、`y.detach()`）的写入会写到它的基张量。如果取出视图之后基张量变了，视图仍可读到原来的值，但写入会报错。
- 一个操作所记录的张量保留旧值，不论之后怎样就地修改；没有版本错误。
- 除非启用 x64，整数为 32 位，浮点数为 32 位；启用后，Python 的浮点数为 64 位。未启用时 `.double()` 会给出警告。
- 整数相除或取均值，结果是默认位宽的浮点数。
- 随机数是 NumPy 的，与 torch 的不同：同一个种子（`manual_seed`）每次给出同样的数。在 jit 下的 `autograd.functional` 里，随机数只抽取一次。
- `from_numpy` 和 `numpy()` 会复制。不共享存储，`is_contiguous()` 总为真，`stride()` 是连续张量的步幅。
- `Tensor` 不是构造函数：用 `tensor(data)`；`x.type()` 给出 `tensor.float32`。
- `utils.data.DataLoader` 在本进程内取样本：`num_workers`、`pin_memory` 等参数不起作用。`shuffle=True` 的次序是 NumPy 的，Python 的浮点数成为 32 位浮点数。
- 没有 `out=`。设备是 JAX 的：没有 GPU 的地方 `.cuda()` 会报错。文件是 `.npz` 或 `.safetensors`，从不使用 pickle。
- `autograd.Function` 的方法是被追踪的：它们不能查看张量的值，也不能就地修改参数。求二阶导数时，前向计算中途得到并保存的值有自己的导数，而 torch 的是 0。无人需要的梯度是零，从不是 None。
- 复数梯度是 JAX 的，即 torch 的共轭。
- 只被记录的越界下标给出 NaN 或被截断；数值已知的越界下标会报错。
"""

HEADINGS = {
    "Rows that differ on purpose": "有意不同的各行",
    "Names that NumPy's words turn into NumPy's functions": "遇到 NumPy 的用词就成为 NumPy 函数的名字",
    "Methods and functions": "方法与函数",
    "Functions only": "只作为函数",
    "Methods only": "只作为方法",
    "nn.functional": "nn.functional",
    "Making tensors": "创建张量",
    "Random numbers": "随机数",
    "nn.init": "nn.init",
    "nn.utils": "nn.utils",
    "nn.utils.rnn": "nn.utils.rnn",
    "utils.data": "utils.data",
    "nn": "nn",
    "Names of torch's that are elsewhere": "在别处的 torch 名字",
}

HOW = {
    "leaves running_mean and running_var as they are": "不改变 running_mean 和 running_var",
    "leaves running_mean and running_var as they are; modules do not": "不改变 running_mean 和 running_var；模块则会改变",
    "compute_mode has no effect: distances are exact": "compute_mode 不起作用：距离是精确的",
    "random numbers of its own": "使用自己的随机数",
    "mode='nearest' only": "只有 mode='nearest'",
    "values only; JAX's gradient where a window has NaN, or only -inf and padding": "只返回值；窗口含 NaN 或只含 -inf 与填充时，梯度与 JAX 相同",
    "raises where the shapes differ, where torch warns and broadcasts": "形状不同时报错；torch 则警告并广播",
    "always stable": "总是稳定排序",
    "of matrices, too, as NumPy's": "也可用于矩阵，与 NumPy 相同",
    "slope 0 at (0, 0), where torch has NaN": "在 (0, 0) 处斜率为 0；torch 为 NaN",
    "a negative index counts from the end": "负的下标从末尾数起",
    "of integers, too": "也可用于整数",
    "the lower of two in the middle; NumPy's mean of both: axis=": "取中间两个中较小的一个；要 NumPy 的两者均值，用 axis=",
    "indexing='ij'; autograd.numpy.meshgrid has NumPy's 'xy'": "indexing='ij'；autograd.numpy.meshgrid 是 NumPy 的 'xy'",
    "one row an element; NumPy's tuple with as_tuple=True": "每个元素一行；as_tuple=True 给出 NumPy 的元组",
    "NumPy's norm of a matrix with ord=": "带 ord= 时是 NumPy 的矩阵范数",
    "repeats the tensor; every element with NumPy's axis=": "重复整个张量；带 NumPy 的 axis= 时重复每个元素",
    "Bessel's correction unless unbiased=False, correction=0, or NumPy's ddof= says otherwise": (
        "使用贝塞尔校正，除非 unbiased=False、correction=0 或 NumPy 的 ddof= 另有指定"
    ),
    "sorted= has no effect: they always are": "sorted= 不起作用：结果总是有序的",
    "without arguments, or with an order of all axes, NumPy's permutation": "不带参数，或给出所有轴的次序时，是 NumPy 的轴置换",
    "without gradient, always sorted": "没有梯度，总是有序",
    "programs are compiled by themselves; see autograd.tiers": "程序会自行编译；见 autograd.tiers",
    "nablax.runtime shards optimizers over devices; see docs/scale.md": (
        "nablax.runtime 把优化器分布到多个设备上；见 docs/scale.md"
    ),
    "autograd.functional(f), for jax.grad, jax.vmap and their like; autograd.jvp, vjp, jacobian, hessian": (
        "autograd.functional(f)，供 jax.grad、jax.vmap 等使用；autograd.jvp、vjp、jacobian、hessian"
    ),
    "programs are compiled by themselves; autograd.functional(f) is for jax.jit": (
        "程序会自行编译；autograd.functional(f) 供 jax.jit 使用"
    ),
    "a module has load_state_dict; autograd.load reads a file": "模块有 load_state_dict；autograd.load 读取文件",
    "an optimizer is nablax.Optimizer(nablax.adam(1e-3), params), with step() and zero_grad()": (
        "优化器是 nablax.Optimizer(nablax.adam(1e-3), params)，有 step() 和 zero_grad()"
    ),
    "jax.config.update('jax_default_device', device)": "jax.config.update('jax_default_device', device)",
    "jax.config.update('jax_enable_x64', True) makes floats 64 bits; a tensor takes dtype=": (
        "jax.config.update('jax_enable_x64', True) 使浮点数为 64 位；张量可带 dtype="
    ),
    "XLA's threads are set by the environment, before JAX is imported": "XLA 的线程数由环境变量设定，须在导入 JAX 之前",
    "numpy.set_printoptions, which is what tensors are printed by": "numpy.set_printoptions，张量按它打印",
    "jax.vmap(autograd.functional(f))": "jax.vmap(autograd.functional(f))",
}


def page_zh() -> str:
    """The text of the page.

    Raises:
      KeyError: a heading or a remark has no translation.
    """
    body = page().removeprefix(HEAD)
    body = re.sub(
        r"^## ([^:\n]+)(: \d+)?( modules)?$",
        lambda m: f"## {HEADINGS[m[1]]}{(m[2] or '').replace(': ', '：')}{' 个模块' if m[3] else ''}",
        body,
        flags=re.MULTILINE,
    )
    body = (
        body.replace("| name | how |", "| 名字 | 不同之处 |")
        .replace("| torch | here |", "| torch | 这里 |")
        .replace("\nIn place: ", "\n就地操作：")
    )
    body = re.sub(
        r"^\| (`[^|]*`) \| (.*) \|$", lambda m: f"| {m[1]} | {HOW[m[2]]} |", body, flags=re.MULTILINE
    )
    return HEAD_ZH + "\n" + body.lstrip("\n")


if __name__ == "__main__":
    save(OUT, page_zh())
