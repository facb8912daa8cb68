import pytest

from serving.gateway_harness import make_gateway_fixture


@pytest.fixture
def setup(tmp_path):
    return make_gateway_fixture(tmp_path)
