"""How soon the engine knows that a client has left: before the first word, amid a stream or a whole answer.

    python benchmarks/serve_abort.py [--times 30]

The engine notes when an answer is cancelled, the client when it hung up, by the same clock; once on a quiet
gateway, once with 32 other streams. Bar: at most 200 ms, the slowest of all.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import threading
import time
from typing import Any

from load import Load
from serving import LEAVING, PATH, engine, gateway, load, question, share

BAR = 200.0
OTHERS = 32


def leave(port: int, engine_says: Any, *, stream: bool, words: int = 0, wait: float = 0) -> float:
    """Ask, wait for so many words or seconds, hang up; milliseconds until the engine knew."""
    body = json.dumps(question(f"{LEAVING}now", stream=stream, max_tokens=250)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert "began" in engine_says.readline()
        heard = b""
        while heard.count(b"word") < words:
            heard += client.recv(4096)
        time.sleep(wait)
        left = time.monotonic()
    return float(json.loads(engine_says.readline())["noticed"] - left) * 1000


def main() -> int:
    """Print the figures; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=30)
    times = parser.parse_args().times
    slowest = 0.0
    with engine("paced") as (endpoint, child), gateway(endpoint) as (port, _):
        ways: dict[str, dict[str, Any]] = {
            "amid a stream": {"stream": True, "words": 3},
            "before the first word": {"stream": True},
            "amid a whole answer": {"stream": False, "wait": 0.05},
        }
        busy = Load(
            PATH,
            question("Hi", stream=True, max_tokens=64),
            port=port,
            connections=OTHERS,
            spread=1,
        )
        for others in (0, OTHERS):
            stop = threading.Event()
            crowd = threading.Thread(target=lambda stop=stop: _keep(busy, stop))
            if others:
                crowd.start()
                time.sleep(2)
            for name, way in ways.items():
                found = []
                for _ in range(times):
                    found.append(leave(port, child.stdout, **way))
                    time.sleep(random.uniform(0, 0.02))
                slowest = max(slowest, *found)
                figures = f"p50 {share(found, 0.5):.1f} ms, slowest {max(found):.1f} ms"
                print(f"{name:22} beside {others:2} streams: {figures}")
            stop.set()
            if others:
                crowd.join()
    print(f"slowest of all {slowest:.1f} ms (bar {BAR:.0f} ms)")
    return int(slowest > BAR)


def _keep(busy: Load, stop: threading.Event) -> None:
    while not stop.is_set():
        load(busy)


if __name__ == "__main__":
    sys.exit(main())
