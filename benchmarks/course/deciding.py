"""Decisions that are rewarded: a bandit and a small world."""

from __future__ import annotations

import numpy as np

from .data import floats, layers, zeros
from .libraries import Library
from .networks import forward

SIDE = 4
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def move(place: int, action: int) -> tuple[int, float, bool]:
    """Next place on a SIDE x SIDE board, the reward, and whether that was the goal."""
    row = min(max(place // SIDE + MOVES[action][0], 0), SIDE - 1)
    column = min(max(place % SIDE + MOVES[action][1], 0), SIDE - 1)
    after = row * SIDE + column
    return after, 1.0 if after == SIDE * SIDE - 1 else -0.05, after == SIDE * SIDE - 1


def draw(p: np.ndarray, u: float) -> int:
    """The action of a uniform number."""
    return int(min((np.cumsum(p) < u).sum(), len(p) - 1))


def bandit(lib: Library, small: bool):
    """REINFORCE with a running baseline on a few arms."""
    arms = 4 if small else 10
    rng = np.random.default_rng(100)
    means = floats(rng, arms)
    theta = lib.parameter(zeros(arms))
    baseline = 0.0
    chance = np.random.default_rng(101)

    def step(i: int) -> float:
        nonlocal baseline
        logp = theta.log_softmax(-1)
        arm = draw(logp.detach().exp().numpy(), chance.random())
        reward = float(means[arm] + 0.1 * chance.standard_normal())
        loss = -(reward - baseline) * logp[arm]
        loss.backward()
        with lib.no_grad():
            theta.add_(-0.2 * theta.grad)
        theta.grad = None
        baseline += 0.1 * (reward - baseline)
        return loss.item()

    return step


def policy_gradient(lib: Library, small: bool):
    """REINFORCE on the board: an episode a step, as long as it takes."""
    width, longest = (8, 4) if small else (32, 30)
    rng = np.random.default_rng(102)
    params = [lib.parameter(a) for a in layers(rng, SIDE * SIDE, width, len(MOVES))]
    opt = lib.adam(params, 1e-2)
    eye = np.eye(SIDE * SIDE, dtype=np.float32)
    chance = np.random.default_rng(103)

    def step(i: int) -> float:
        place, logps, rewards = 0, [], []
        done = False
        while not done and len(rewards) < longest:
            logp = forward(params, lib.tensor(eye[place])).log_softmax(-1)
            action = draw(logp.detach().exp().numpy(), chance.random())
            place, reward, done = move(place, action)
            logps.append(logp[action])
            rewards.append(reward)
        returns, future = [], 0.0
        for reward in reversed(rewards):
            future = reward + 0.95 * future
            returns.append(future)
        weights = np.array(returns[::-1], np.float32)
        loss = -(lib.stack(logps, 0) * lib.tensor(weights)).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def deep_q(lib: Library, small: bool):
    """Values of actions from remembered moves, against a copy of the network that is renewed now and then."""
    width, size, renew = (8, 8, 3) if small else (32, 32, 20)
    rng = np.random.default_rng(104)
    params = [lib.parameter(a) for a in layers(rng, SIDE * SIDE, width, len(MOVES))]
    target = [p.detach().clone() for p in params]
    opt = lib.adam(params, 3e-3)
    eye = np.eye(SIDE * SIDE, dtype=np.float32)
    chance = np.random.default_rng(105)
    memory: list[tuple[int, int, float, int, bool]] = []
    place = 0

    def step(i: int) -> float:
        nonlocal place
        for _ in range(4):
            if chance.random() < 0.3:
                action = int(chance.integers(len(MOVES)))
            else:
                with lib.no_grad():
                    action = int(forward(params, lib.tensor(eye[place])).argmax())
            after, reward, done = move(place, action)
            memory.append((place, action, reward, after, done))
            place = 0 if done else after
        s, a, r, after, done = (
            np.array(x) for x in zip(*(memory[k] for k in chance.integers(0, len(memory), size)), strict=True)
        )
        with lib.no_grad():
            value = lib.amax(forward(target, lib.tensor(eye[after])), 1)
            wanted = lib.tensor(r.astype(np.float32)) + 0.9 * lib.tensor((~done).astype(np.float32)) * value
        q = forward(params, lib.tensor(eye[s]))[np.arange(size), a]
        loss = ((q - wanted) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if i % renew == renew - 1:
            with lib.no_grad():
                for old, p in zip(target, params, strict=True):
                    old.copy_(p)
        return loss.item()

    return step
