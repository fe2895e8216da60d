"""A WHEP server that nobody here wrote the WebRTC of: aiortc behind the smallest HTTP that will do.

Prints its address when it listens. Every viewer gets a moving picture (VP8) and a tone of its own.
usage: aiortc_whep.py PORT
"""

import asyncio
import fractions
import math
import sys

import av
import numpy
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

sessions = {}


class MovingPicture(VideoStreamTrack):
    """320 × 240, a bar that moves."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        picture = numpy.zeros((240, 320, 3), dtype=numpy.uint8)
        column = int(160 + 150 * math.sin(pts / 90_000))
        picture[:, max(0, column - 20) : column + 20] = (80, 160, 240)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, fractions.Fraction(time_base)
        return frame


async def answer(offer):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(MovingPicture())
    connection.addTrack(AudioStreamTrack())
    await connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    name = str(len(sessions))
    sessions[name] = connection
    return name, connection.localDescription.sdp


async def serve(reader, writer):
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        status, more, text = "404 Not Found", "", ""
        if method == "POST":
            name, text = await answer(body.decode())
            status = "201 Created"
            more = f"content-type: application/sdp\r\nlocation: /session/{name}\r\n"
        elif method == "DELETE" and path.startswith("/session/"):
            connection = sessions.pop(path.removeprefix("/session/"), None)
            if connection:
                await connection.close()
                status = "200 OK"
        head = f"HTTP/1.1 {status}\r\n{more}content-length: {len(text)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + text.encode())
        await writer.drain()
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/whep", flush=True)
    await server.serve_forever()


asyncio.run(main())
