"""Gradients of single examples: transform each, aggregate them, transform the aggregate."""

from nablax.transforms.aggregating._mean import AccumulateAvgUpdatesState as AccumulateAvgUpdatesState
from nablax.transforms.aggregating._mean import Aggregator as Aggregator
from nablax.transforms.aggregating._mean import accumulate_avg_updates as accumulate_avg_updates
from nablax.transforms.aggregating._mean import average_incrementally_updates as average_incrementally_updates
from nablax.transforms.aggregating._mean import average_per_element_updates as average_per_element_updates
from nablax.transforms.aggregating._mean import (
    get_batch_size_from_per_elt_updates as get_batch_size_from_per_elt_updates,
)
from nablax.transforms.aggregating._process import AggregatedUpdates as AggregatedUpdates
from nablax.transforms.aggregating._process import AggregatorUpdateFn as AggregatorUpdateFn
from nablax.transforms.aggregating._process import MaybeAxis as MaybeAxis
from nablax.transforms.aggregating._process import PerElementUpdates as PerElementUpdates
from nablax.transforms.aggregating._process import add_mean_variance_to_opt as add_mean_variance_to_opt
from nablax.transforms.aggregating._process import process as process
from nablax.transforms.aggregating._variance import (
    PerElementMeanAndSumSqDiffGradsState as PerElementMeanAndSumSqDiffGradsState,
)
from nablax.transforms.aggregating._variance import (
    PerElementMeanAndVarianceEMAState as PerElementMeanAndVarianceEMAState,
)
from nablax.transforms.aggregating._variance import (
    get_per_element_mean_and_sum_sq_diff_grads as get_per_element_mean_and_sum_sq_diff_grads,
)
from nablax.transforms.aggregating._variance import (
    get_unbiased_mean_and_variance_ema as get_unbiased_mean_and_variance_ema,
)
from nablax.transforms.aggregating._variance import (
    track_per_element_mean_and_variance_with_ema as track_per_element_mean_and_variance_with_ema,
)
