"""No connection leaves this machine: Python imports this at start where the folder is on its path.

`conftest.py` puts it there, so that it holds in the tests, in every notebook's kernel and in
all other processes that the tests start. Loopback and local sockets stay open: Jupyter needs them.
"""

import socket

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def _refuse_outside(address) -> None:
    if isinstance(address, tuple) and not str(address[0] or "localhost").startswith(LOOPBACK):
        raise OSError(f"the tests run without a network, and this asks for {address[0]!r}")


def _guarded(method):
    def call(self, *arguments):
        _refuse_outside(arguments[-1])  # connect(address), sendto(data, [flags,] address)
        return method(self, *arguments)

    return call


def _look_up(host, *arguments, _original=socket.getaddrinfo, **options):
    host_name = host.decode() if isinstance(host, bytes) else host
    _refuse_outside((host_name,))
    return _original(host, *arguments, **options)


if not hasattr(socket, "course_guard"):
    socket.course_guard = True
    socket.getaddrinfo = _look_up
    for _name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, _name, _guarded(getattr(socket.socket, _name)))
