"""The names of `optax.experimental.aggregating`."""

from nablax.transforms.aggregating import AccumulateAvgUpdatesState as AccumulateAvgUpdatesState
from nablax.transforms.aggregating import AggregatedUpdates as AggregatedUpdates
from nablax.transforms.aggregating import Aggregator as Aggregator
from nablax.transforms.aggregating import AggregatorUpdateFn as AggregatorUpdateFn
from nablax.transforms.aggregating import MaybeAxis as MaybeAxis
from nablax.transforms.aggregating import (
    PerElementMeanAndSumSqDiffGradsState as PerElementMeanAndSumSqDiffGradsState,
)
from nablax.transforms.aggregating import (
    PerElementMeanAndVarianceEMAState as PerElementMeanAndVarianceEMAState,
)
from nablax.transforms.aggregating import PerElementUpdates as PerElementUpdates
from nablax.transforms.aggregating import accumulate_avg_updates as accumulate_avg_updates
from nablax.transforms.aggregating import add_mean_variance_to_opt as add_mean_variance_to_opt
from nablax.transforms.aggregating import average_incrementally_updates as average_incrementally_updates
from nablax.transforms.aggregating import average_per_element_updates as average_per_element_updates
from nablax.transforms.aggregating import (
    get_batch_size_from_per_elt_updates as get_batch_size_from_per_elt_updates,
)
from nablax.transforms.aggregating import (
    get_per_element_mean_and_sum_sq_diff_grads as get_per_element_mean_and_sum_sq_diff_grads,
)
from nablax.transforms.aggregating import (
    get_unbiased_mean_and_variance_ema as get_unbiased_mean_and_variance_ema,
)
from nablax.transforms.aggregating import process as process
from nablax.transforms.aggregating import (
    track_per_element_mean_and_variance_with_ema as track_per_element_mean_and_variance_with_ema,
)
