import pytest
from support import DTYPES, ISAS

from fastnn import _fastnn_core as core


@pytest.fixture(params=ISAS)
def isa(request):
    """Run the test on each ISA of this machine."""
    before = core.isa()
    core._use_isa(request.param)
    yield request.param
    core._use_isa(before)


@pytest.fixture(params=DTYPES, ids=["float32", "float64"])
def dtype(request):
    return request.param
