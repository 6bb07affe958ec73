# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rerun's server as a process of its own: one port for the viewer's page, the next one for what it shows."""

from __future__ import annotations

import ctypes
import ipaddress
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import rerun_cli

READY = 20.0  # seconds that the server may take to answer
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)  # opened before the fork, where opening it would not be safe


@dataclass(frozen=True)
class Place:
    """Where to serve. address: of the interface, 0.0.0.0 or :: for all; port: of the page, the data has the next."""

    address: str
    port: int

    @property
    def local(self) -> bool:
        """Whether only this machine can look."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def host(self) -> str:
        """What a browser calls this machine."""
        ip = ipaddress.ip_address(self.address)
        if ip.is_unspecified:
            return socket.gethostname()
        return 'localhost' if ip.is_loopback else f'[{ip}]' if ip.version == 6 else str(ip)

    @property
    def data(self) -> str:
        """Where Rerun's viewers get what they show."""
        return f'rerun+http://{self.host}:{self.port + 1}/proxy'

    @property
    def sink(self) -> str:
        """Where this machine logs to."""
        ip = ipaddress.ip_address(self.address)
        near = ip if not ip.is_unspecified else '127.0.0.1' if ip.version == 4 else '::1'
        return f'rerun+http://{f"[{near}]" if ip.version == 6 else near}:{self.port + 1}/proxy'

    @property
    def page(self) -> str:
        """What to open in a browser."""
        return f'http://{self.host}:{self.port}/?hide_welcome_screen=1&url={quote(self.data, safe="")}'


class Server:
    """Serves the viewer and hands on what is logged to it.

    memory: MB of the newest data that are kept for browsers that come later. Raises OSError if it cannot serve.
    """

    def __init__(self, place: Place, memory: int) -> None:
        self.place = place
        self._own = psutil.Process()
        self._ends: set[int] = set()
        self._viewers = 0
        for port in (place.port, place.port + 1):
            _require_free(place.address, port)
        self._output = tempfile.TemporaryFile()
        # A session of its own: Ctrl+C ends the node, which ends the server once nothing is logged any more.
        self._process = subprocess.Popen(
            [str(Path(rerun_cli.__file__).with_name('rerun')), '--serve-web', '--bind', place.address,
             '--web-viewer-port', str(place.port), '--port', str(place.port + 1),
             '--server-memory-limit', f'{memory}MB',
             # the viewer's page has another origin than the data; every name of this machine may be in it
             '--cors-allow-origin', f'http://*:{place.port}'],
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, start_new_session=True,
            preexec_fn=_end_with_parent)
        self._child = psutil.Process(self._process.pid)
        self._wait_until_ready()

    def viewers(self) -> int:
        """Return how many viewers are connected."""
        ends = {end.raddr.port for end in self._child.net_connections('tcp')
                if end.status == psutil.CONN_ESTABLISHED and end.laddr.port == self.place.port + 1}
        if ends != self._ends:  # asking for them takes milliseconds
            own = {end.laddr.port for end in self._own.net_connections('tcp')}
            self._ends, self._viewers = ends, len(ends - own)
        return self._viewers

    def running(self) -> bool:
        """Tell whether the server lives."""
        return self._process.poll() is None

    def output(self) -> str:
        """Return the last lines that the server wrote."""
        self._output.seek(0)
        return b'\n'.join(self._output.read().splitlines()[-10:]).decode(errors='replace')

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY
        while not all(_answers(self.place.address, port) for port in (self.place.port, self.place.port + 1)):
            if not self.running() or time.monotonic() > deadline:
                text = self.output()
                self.close()
                raise OSError(f'Rerun\'s server does not serve on {self.place.address}, ports {self.place.port} and '
                              f'{self.place.port + 1}:\n{text}')
            time.sleep(0.05)


def _end_with_parent() -> None:
    """Let the kernel end the server with the node, however that ends: it would keep its ports otherwise."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET


def _require_free(address: str, port: int) -> None:
    with socket.socket(_family(address)) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((address, port))
        except OSError as error:
            raise OSError(f'cannot serve on {address} port {port}: {error.strerror}; the parameter "port" (view_port:= '
                          'of the launch file) chooses another one (and the next, for the data), "address" another '
                          'interface') from None


def _answers(address: str, port: int) -> bool:
    with socket.socket(_family(address)) as attempt:
        attempt.settimeout(1.0)
        return attempt.connect_ex((address, port)) == 0
