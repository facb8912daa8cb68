"""Serve the benchmark's model with Ray Serve: a batched deployment, as its guides show it.

python serve_ray.py MODEL PORT REPLICAS
"""

from __future__ import annotations

import signal
import sys

import joblib
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=int(sys.argv[3]), ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=100
)
class Bench:
    """The model."""

    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
    async def predict(self, rows: list[list[float]]) -> list[int]:
        """Predict the waiting rows in one call."""
        return self.model.predict(np.array(rows)).tolist()

    async def __call__(self, request: Request) -> dict[str, list[int]]:
        """Predict the rows of a request."""
        body = await request.json()
        return {"predictions": [await self.predict(row) for row in body["rows"]]}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Bench.bind(sys.argv[1]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
