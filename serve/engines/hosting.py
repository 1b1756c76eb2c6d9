"""Runs an in-process engine behind a Unix socket, from a thread of this process."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from factory.contracts import Endpoint
from serve.engines.brain import Brain
from serve.engines.door import client, first_token, new_endpoint, socket_path
from serve.engines.wire import engine_app
from serve.listening import running


@contextmanager
def hosted(brain: Brain, *, model: str, max_model_len: int) -> Iterator[Endpoint]:
    """Serve an in-process engine on a Unix socket, healthy for the length of the block.

    Nothing here holds the brain after that: an endpoint sets aside what it has loaded at its start
    (`gc.freeze`), so that the garbage collector would never find a model that only a cycle holds.

    Raises:
        EngineError: If it cannot generate.
    """
    key = secrets.token_urlsafe(24)
    app = engine_app(brain, model=model, max_model_len=max_model_len, key=key)
    del brain
    try:
        with socket_path() as path, socket.socket(socket.AF_UNIX) as door:
            door.bind(str(path))
            with running(app, door):
                endpoint = new_endpoint(model, path, key)
                with client(endpoint) as http:
                    first_token(http, model)
                yield endpoint
    finally:
        del app.state.brain
