"""The tests themselves run without a network, and so do the processes that they start."""

import socket
import subprocess
import sys

import pytest

OUTSIDE = "192.0.2.1"  # reserved for documentation: nobody is there


def test_outside_is_refused():
    with socket.socket() as link, pytest.raises(OSError, match="without a network"):
        link.connect((OUTSIDE, 80))
    with pytest.raises(OSError, match="without a network"):
        socket.getaddrinfo("example.com", 443)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link,
        pytest.raises(OSError, match="without a network"),
    ):
        link.sendto(b"", (OUTSIDE, 53))


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_child_processes_are_refused_too():
    code = f"import socket; socket.create_connection(('{OUTSIDE}', 80), 1)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the tests run without a network" in result.stderr
