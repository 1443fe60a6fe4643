"""Ground states by each of NetKet's optimizers, Optax's own, and stochastic reconfiguration with schedules."""

import netket as nk
import optax

hilbert = nk.hilbert.Spin(0.5, 6)
hamiltonian = nk.operator.Ising(hilbert, nk.graph.Chain(6), h=1.0)


def new_state():
    model = nk.models.RBM(param_dtype=complex)
    return nk.vqs.MCState(nk.sampler.MetropolisLocal(hilbert), model, n_samples=256, seed=0, sampler_seed=0)


for optimizer in (
    nk.optimizer.Sgd(0.05),
    nk.optimizer.Adam(0.05),
    nk.optimizer.AdaGrad(0.05),
    nk.optimizer.RmsProp(0.01),
    nk.optimizer.Momentum(0.01),
    optax.adam(0.05),
    optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05)),
):
    state = new_state()
    before = state.expect(hamiltonian).mean.real
    nk.driver.VMC(hamiltonian, optimizer, variational_state=state).run(20, show_progress=False, out=None)
    assert state.expect(hamiltonian).mean.real < before
falling = optax.linear_schedule(0.1, 0.01, 20)
driver = nk.driver.VMC_SR(hamiltonian, optax.sgd(falling), variational_state=new_state(), diag_shift=falling)
driver.run(5, show_progress=False, out=None)
