#!/usr/bin/env python3
"""A next hop that takes its time for each reply: `slow.py PORT MESSAGES MILLISECONDS`. Ends when it has had all messages."""

import asyncio
import os
import sys

PORT, MESSAGES, DELAY = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000


async def serve(reader, writer):
    async def reply(text):
        # One after the other, also when commands have come together.
        await asyncio.sleep(DELAY)
        writer.write(text)
        await writer.drain()

    await reply(b"220 slow\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        if verb == b"EHLO":
            await reply(b"250-slow\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        elif verb == b"DATA":
            await reply(b"354 go on\r\n")
            while await reader.readline() != b".\r\n":
                pass
            await reply(b"250 taken\r\n")
            finished.release()
        elif verb == b"QUIT":
            await reply(b"221 bye\r\n")
            break
        else:
            await reply(b"250 ok\r\n")
    writer.close()


async def main():
    global finished
    finished = asyncio.Semaphore(0)
    async with await asyncio.start_server(serve, "127.0.0.1", PORT, limit=1 << 20, backlog=1000):
        for _ in range(MESSAGES):
            await finished.acquire()
        # As smtp-sink does: connections are cut off where they are.
        os._exit(0)


asyncio.run(main())
