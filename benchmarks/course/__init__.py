"""Programs of a course on deep learning, from scratch, in nablax.autograd and in torch.

`PROGRAMS` is the table: a name, and a function `build(library, small) -> step`, where `step(i)` makes the i-th step of
training and returns its loss. `library` is one of `LIBRARIES`; `small` asks for sizes fit for a test. All randomness is
NumPy's, so that both libraries see the same numbers.
"""

from . import (
    attending,
    deciding,
    derivatives,
    generative,
    linear,
    networks,
    recurrent,
    representing,
    training,
)
from .libraries import LIBRARIES as LIBRARIES
from .libraries import warmed as warmed

PROGRAMS = {
    build.__name__: build
    for build in (
        linear.linear_regression, linear.polynomial_regression, linear.logistic_regression,
        linear.softmax_regression, linear.ridge, linear.lasso, linear.svm_hinge,
        networks.mlp_sgd, networks.mlp_momentum, networks.mlp_adam, networks.mlp_optimizer, networks.mlp_dropout,
        networks.mlp_batch_norm, networks.autoencoder, networks.lenet,
        recurrent.char_rnn, recurrent.gru, recurrent.char_lstm, recurrent.rnn_lengths, recurrent.seq2seq,
        attending.attention, attending.attention_lengths, attending.transformer,
        generative.gan, generative.wgan_gp, generative.vae, generative.diffusion, generative.flow,
        generative.mixture_density, generative.energy_model, generative.hopfield,
        representing.skip_gram, representing.matrix_factorisation, representing.tree_net, representing.contrastive,
        representing.soft_kmeans, representing.graph_network,
        derivatives.maml, derivatives.physics_informed, derivatives.newton, derivatives.neural_ode,
        derivatives.while_loop, derivatives.deep_equilibrium,
        training.rate_schedule, training.gradient_clipping, training.hook_clipping, training.accumulation,
        training.line_search, training.early_stopping, training.adversarial, training.straight_through,
        deciding.bandit, deciding.policy_gradient, deciding.deep_q,
    )
}  # fmt: skip
