"""Distinct integers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pepperstone_adapter.common.arrays import distinct


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(-9, 9) | st.integers(-(2**62), 2**62)))
def test_distinct_values_are_those_of_numpy(values: np.ndarray) -> None:  # type: ignore[type-arg]
    before = values.copy()
    assert np.array_equal(distinct(values), np.unique(values))
    assert np.array_equal(values, before)
