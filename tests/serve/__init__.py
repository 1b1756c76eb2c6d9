"""Tests of the endpoint: real sockets, the real openai SDK, real engines."""
