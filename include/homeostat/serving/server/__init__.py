"""The server processes: uvicorn, the worker supervisor, connection limits and logging."""
