"""Ports for programs that a test starts later."""

import random
import socket

# Below those that this machine gives to whoever asks for any (net.ipv4.ip_local_port_range).
FIRST, END = 20000, 32000

_given = set()


def free_port():
    """Nobody takes it by chance before its program does; each is given once."""
    while True:
        port = random.randrange(FIRST, END)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
