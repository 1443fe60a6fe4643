"""Models of where data lie: adversarial, variational, by diffusion, flow, mixture and energy."""

from __future__ import annotations

import numpy as np

from .data import batch, floats, layers, ring
from .libraries import Library
from .networks import forward


def gan(lib: Library, small: bool):
    """Two networks against each other, with an optimizer each."""
    size, width = (8, 8) if small else (128, 64)
    rng = np.random.default_rng(40)
    generator = [lib.parameter(a) for a in layers(rng, 4, width, width, 2)]
    discriminator = [lib.parameter(a) for a in layers(rng, 2, width, width, 1)]
    opt_g, opt_d = lib.adam(generator, 1e-3), lib.adam(discriminator, 1e-3)
    noise = np.random.default_rng(41)

    def step(i: int) -> float:
        real = lib.tensor(ring(noise, size))
        fake = forward(generator, lib.tensor(floats(noise, size, 4)))
        loss_d = (
            lib.softplus(-forward(discriminator, real)).mean()
            + lib.softplus(forward(discriminator, fake.detach())).mean()
        )
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()

        loss_g = lib.softplus(-forward(discriminator, fake)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        return loss_d.item() + loss_g.item()

    return step


def wgan_gp(lib: Library, small: bool):
    """A critic whose gradient is held near norm 1 by a penalty: a gradient in the loss."""
    size, width = (8, 8) if small else (64, 64)
    rng = np.random.default_rng(42)
    generator = [lib.parameter(a) for a in layers(rng, 4, width, 2)]
    critic = [lib.parameter(a) for a in layers(rng, 2, width, width, 1)]
    noise = np.random.default_rng(43)

    def judge(x):
        w1, b1, w2, b2, w3, b3 = critic
        return ((x @ w1 + b1).tanh() @ w2 + b2).tanh() @ w3 + b3

    def step(i: int) -> float:
        total = 0.0
        for _ in range(2):
            real = lib.tensor(ring(noise, size))
            fake = forward(generator, lib.tensor(floats(noise, size, 4))).detach()
            mix = lib.tensor(noise.random((size, 1)).astype(np.float32))
            between = (mix * real + (1 - mix) * fake).requires_grad_()
            (slope,) = lib.grad(judge(between).sum(), [between], create_graph=True)
            penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
            loss = judge(fake).mean() - judge(real).mean() + 10 * penalty
            loss.backward()
            with lib.no_grad():
                for p in critic:
                    p -= 0.01 * p.grad
                    p.grad = None
            total += loss.item()
        loss = -judge(forward(generator, lib.tensor(floats(noise, size, 4)))).mean()
        loss.backward()
        with lib.no_grad():
            for p in generator:
                p -= 0.01 * p.grad
            for p in (*generator, *critic):
                p.grad = None
        return total + loss.item()

    return step


def vae(lib: Library, small: bool):
    """Reparameterised: a sample is mean + deviation * noise."""
    n, size, width, hidden, latent = (32, 8, 8, 8, 2) if small else (1000, 64, 32, 64, 4)
    rng = np.random.default_rng(44)
    data = (np.tanh(floats(rng, n, 2) @ floats(rng, 2, width)) + 0.1 * floats(rng, n, width)).astype(
        np.float32
    )
    encoder = [lib.parameter(a) for a in layers(rng, width, hidden, 2 * latent)]
    decoder = [lib.parameter(a) for a in layers(rng, latent, hidden, width)]
    opt = lib.adam([*encoder, *decoder], 2e-3)
    noise = np.random.default_rng(45)

    def step(i: int) -> float:
        x = lib.tensor(data[batch(i, size, n)])
        code = forward(encoder, x)
        mean, log_var = code[:, :latent], code[:, latent:]
        z = mean + (0.5 * log_var).exp() * lib.tensor(floats(noise, size, latent))
        error = ((forward(decoder, z) - x) ** 2).sum(1).mean()
        divergence = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()
        loss = error + 0.1 * divergence
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def diffusion(lib: Library, small: bool):
    """A network that guesses the noise that was added; every 20 steps, some points are made from noise."""
    size, width, times, every = (8, 8, 4, 4) if small else (128, 64, 20, 20)
    rng = np.random.default_rng(46)
    params = [lib.parameter(a) for a in layers(rng, 6, width, width, 2)]
    opt = lib.adam(params, 2e-3)
    beta = np.linspace(1e-3, 0.25, times, dtype=np.float32)
    kept = np.cumprod(1 - beta)
    noise = np.random.default_rng(47)

    def guess(x, t):
        phase = t[:, None] / times * np.array([[np.pi, 2 * np.pi]])
        clock = np.concatenate([np.sin(phase), np.cos(phase)], 1).astype(np.float32)
        return forward(params, lib.cat([x, lib.tensor(clock)], 1))

    def step(i: int) -> float:
        t = noise.integers(0, times, size)
        eps = lib.tensor(floats(noise, size, 2))
        signal, blur = lib.tensor(np.sqrt(kept[t, None])), lib.tensor(np.sqrt(1 - kept[t, None]))
        noisy = signal * lib.tensor(ring(noise, size)) + blur * eps
        loss = ((guess(noisy, t) - eps) ** 2).mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        if i % every != every - 1:
            return loss.item()
        with lib.no_grad():
            x = lib.tensor(floats(noise, size, 2))
            for t in reversed(range(times)):
                x = x - float(beta[t] / np.sqrt(1 - kept[t])) * guess(x, np.full(size, t))
                x = x / float(np.sqrt(1 - beta[t]))
                if t:
                    x = x + float(np.sqrt(beta[t])) * lib.tensor(floats(noise, size, 2))
        return loss.item() + 0.01 * (x**2).mean().item()

    return step


def flow(lib: Library, small: bool):
    """Coupling layers, and the density of the data under them."""
    size, width = (8, 8) if small else (128, 32)
    rng = np.random.default_rng(48)
    couplings = [[lib.parameter(a) for a in layers(rng, 1, width, 2)] for _ in range(2 if small else 4)]
    params = [p for coupling in couplings for p in coupling]
    opt = lib.adam(params, 2e-3)
    points = np.random.default_rng(49)

    def step(i: int) -> float:
        x = lib.tensor(ring(points, size))
        a, b = x[:, :1], x[:, 1:]
        log_det = 0
        for coupling in couplings:
            made = forward(coupling, a)
            scale, shift = made[:, :1].tanh(), made[:, 1:]
            a, b = b * scale.exp() + shift, a
            log_det = log_det + scale[:, 0]
        z = lib.cat([a, b], 1)
        loss = (0.5 * (z**2).sum(1) + np.log(2 * np.pi) - log_det).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def mixture_density(lib: Library, small: bool):
    """Several answers for each question, as a mixture of normal densities."""
    n, size, width, parts = (32, 16, 8, 2) if small else (1000, 100, 32, 5)
    rng = np.random.default_rng(50)
    y = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    x = (y + 0.3 * np.sin(2 * np.pi * y) + 0.05 * floats(rng, n, 1)).astype(np.float32)
    params = [lib.parameter(a) for a in layers(rng, 1, width, 3 * parts)]

    def step(i: int) -> float:
        at = batch(i, size, n)
        w1, b1, w2, b2 = params
        out = (lib.tensor(x[at]) @ w1 + b1).tanh() @ w2 + b2
        log_share = out[:, :parts].log_softmax(-1)
        mean, log_width = out[:, parts : 2 * parts], out[:, 2 * parts :]
        distance = (lib.tensor(y[at]) - mean) / log_width.exp()
        log_density = -0.5 * distance**2 - log_width - 0.5 * float(np.log(2 * np.pi))
        loss = -(log_share + log_density).logsumexp(1).mean()
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.05 * p.grad
                p.grad = None
        return loss.item()

    return step


def energy_model(lib: Library, small: bool):
    """Low energy at the data, high where Langevin steps lead: gradients with respect to the points."""
    size, width, turns = (8, 8, 2) if small else (64, 64, 10)
    rng = np.random.default_rng(51)
    params = [lib.parameter(a) for a in layers(rng, 2, width, width, 1)]
    noise = np.random.default_rng(52)

    def energy(x):
        w1, b1, w2, b2, w3, b3 = params
        h = lib.softplus(lib.softplus(x @ w1 + b1) @ w2 + b2)
        return (h @ w3 + b3)[:, 0] + 0.05 * (x**2).sum(1)

    def step(i: int) -> float:
        points = floats(noise, size, 2)
        x = lib.tensor(points)
        for _ in range(turns):
            x = x.detach().requires_grad_()
            (slope,) = lib.grad(energy(x).sum(), [x])
            x = x - 0.1 * slope + 0.1 * lib.tensor(floats(noise, size, 2))
        data = lib.tensor(ring(noise, size))
        low, high = energy(data), energy(x.detach())
        loss = low.mean() - high.mean() + 0.01 * (low**2 + high**2).mean()
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.02 * p.grad
                p.grad = None
        return loss.item()

    return step


def hopfield(lib: Library, small: bool):
    """Memories that attract: a state descends the energy, and the weights learn where it ends."""
    units, memories, turns = (8, 2, 2) if small else (32, 4, 8)
    rng = np.random.default_rng(53)
    stored = np.sign(floats(rng, memories, units))
    w = lib.parameter(0.05 * floats(rng, units, units))
    noise = np.random.default_rng(54)
    targets = lib.tensor(stored)

    def energy(x):
        return -0.5 * ((x @ w) * x).sum() + 0.5 * (x**2).sum()

    def step(i: int) -> float:
        flips = np.where(noise.random(stored.shape) < 0.2, -1, 1).astype(np.float32)
        x = lib.tensor(stored * flips).requires_grad_()
        for _ in range(turns):
            (slope,) = lib.grad(energy(x), [x], create_graph=True)
            x = (x - 0.2 * slope).tanh()
        loss = ((x - targets) ** 2).mean()
        loss.backward()
        with lib.no_grad():
            w.sub_(2.0 * w.grad)
        w.grad = None
        return loss.item()

    return step
