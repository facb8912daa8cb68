import pytest

from serving.gateway_harness import make_world


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)
