"""Clients of the stream of events, many of them in one thread, which connect again whenever they are cut off.

Each keeps what it has seen and the last cursor, as a program would: both change together, with a whole event.
"""

import asyncio
import random
import re
import socket

_REPORT = re.compile(rb'"points":\{"d":(\d+),"n":(\d+),')
AGAIN_SECONDS = 0.2
# What a slow one has in its socket at most, and takes at once.
SLOW_BYTES = 4096


class Follower:
    """One of them. A report is named by one number, as in crash/ledger.py."""

    def __init__(self, port, token, slow, rng):
        self._port, self._token, self.slow, self._rng = port, token, slow, rng
        self.cursor = None
        self.seen, self.gaps, self.faults = [], [], []
        self.connections = 0

    async def run(self):
        """Follows until it is cancelled."""
        while True:
            try:
                await self._follow()
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(AGAIN_SECONDS * self._rng.uniform(0.5, 1.5))

    async def _follow(self):
        reader, writer = await self._connect()
        try:
            last = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
            # HTTP/1.0: the answer comes in one piece up to its end.
            head = "GET /api/v1/events?types=report HTTP/1.0\r\n"
            head += f"Authorization: Bearer {self._token}\r\n{last}\r\n"
            writer.write(head.encode())
            await writer.drain()
            status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0]
            if b" 200 " not in status + b" ":
                if b" 503" not in status and b" 429" not in status:
                    self.faults.append(f"answered {status.decode()}")
                return
            self.connections += 1
            await self._read(reader)
        finally:
            writer.close()

    async def _connect(self):
        connection = socket.socket()
        connection.setblocking(False)
        if self.slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._port))
            return await asyncio.open_connection(sock=connection, limit=SLOW_BYTES * (1 if self.slow else 16))
        except OSError:
            connection.close()
            raise

    async def _read(self, reader):
        rest = b""
        while data := await reader.read(SLOW_BYTES if self.slow else 1 << 16):
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                self._take(event)
            if self.slow:
                await asyncio.sleep(self._rng.uniform(0, 1))

    def _take(self, event):
        for line in event.split(b"\n"):
            if line.startswith(b"id: "):
                self.cursor = line[4:].decode()
        if b"event: gap" in event:
            self.gaps.append(event.decode())
        elif b"event: report" in event:
            if found := _REPORT.search(event):
                self.seen.append(int(found[1]) << 40 | int(found[2]))
            else:
                self.faults.append(f"not a report of the fleet: {event.decode()}")


class Followers:
    """All of them."""

    def __init__(self, port, tokens, count, slow, seed):
        rng = random.Random(seed)
        self.all = [
            Follower(port, tokens[number % len(tokens)], number < slow, random.Random(rng.random()))
            for number in range(count)
        ]
        self._tasks = []

    def begin(self):
        """They connect."""
        self._tasks = [asyncio.create_task(follower.run()) for follower in self.all]

    def hurry(self):
        """None is slow any more."""
        for follower in self.all:
            follower.slow = False

    async def wait(self, what, seconds):
        """Waits until this is true of each; how many are left of whom it is not."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while (left := sum(not what(follower) for follower in self.all)) and loop.time() < ends:
            await asyncio.sleep(0.1)
        return left

    async def end(self):
        """They leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
