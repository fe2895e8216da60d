"""aiortc as publisher and as player."""

import asyncio
import fractions
import time

import av
import numpy  # only through av's to_ndarray; pinned in requirements.txt
from aiortc import (
    MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription, VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError

from node_under_test import delete, post_offer

WIDTH, HEIGHT = 640, 360
BANDS = 8
CONNECTED_SECONDS = 30
PLAYED_SECONDS = 60


class Bands(VideoStreamTrack):
    """Eight vertical bands; the bright one moves on by one every ten frames, so that a player can tell progress."""

    def __init__(self):
        super().__init__()
        self.frames = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        picture = numpy.full((HEIGHT * 3 // 2, WIDTH), 128, dtype=numpy.uint8)
        picture[:HEIGHT] = 40
        band = (self.frames // 10) % BANDS
        picture[:HEIGHT, band * WIDTH // BANDS:(band + 1) * WIDTH // BANDS] = 210
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = pts, time_base
        self.frames += 1
        return frame


class Tone(MediaStreamTrack):
    """440 Hz, 20 ms at a time."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.samples = 0
        self.start = time.monotonic()

    async def recv(self):
        await asyncio.sleep(max(0, self.start + self.samples / 48000 - time.monotonic()))
        at = (self.samples + numpy.arange(960)) / 48000
        wave = (8000 * numpy.sin(2 * numpy.pi * 440 * at)).astype(numpy.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, self.samples, fractions.Fraction(1, 48000)
        self.samples += 960
        return frame


async def _join(pc, kind, stream):
    await pc.setLocalDescription(await pc.createOffer())
    answer, session = await asyncio.to_thread(post_offer, kind, stream, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    deadline = time.monotonic() + CONNECTED_SECONDS
    while pc.connectionState != "connected":
        if time.monotonic() > deadline or pc.connectionState in ("failed", "closed"):
            raise RuntimeError(f"{kind} {stream}: {pc.connectionState}, ICE {pc.iceConnectionState}; answer:\n{answer}")
        await asyncio.sleep(0.05)
    return session


class Publisher:
    """Publishes bands and a tone until closed."""

    @classmethod
    async def start(cls, stream, codec, channels=None):
        """`channels`: labels with what each is created with."""
        self = cls()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.video = Bands()
        self.pc.addTrack(self.video)
        self.pc.addTrack(Tone())
        codecs = RTCRtpSender.getCapabilities("video").codecs
        video = next(one for one in self.pc.getTransceivers() if one.kind == "video")
        video.setCodecPreferences([one for one in codecs if one.mimeType in (f"video/{codec}", "video/rtx")])
        self.channels = [self.pc.createDataChannel(label, **terms) for label, terms in (channels or {}).items()]
        self.session = await _join(self.pc, "whip", stream)
        return self

    async def send(self, count, pause):
        """Sends numbers from 0 on each channel, in pauses."""
        deadline = time.monotonic() + CONNECTED_SECONDS
        while any(channel.readyState != "open" for channel in self.channels):
            if time.monotonic() > deadline:
                raise RuntimeError(f"channels are {[channel.readyState for channel in self.channels]}")
            await asyncio.sleep(0.05)
        for number in range(count):
            for channel in self.channels:
                channel.send(str(number))
            await asyncio.sleep(pause)

    async def close(self):
        await asyncio.to_thread(delete, self.session)
        await self.pc.close()


class DataPlayer:
    """Plays a stream and keeps what comes on its data channels."""

    @classmethod
    async def start(cls, stream):
        self = cls()
        self.channels = {}
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.addTransceiver("video", direction="recvonly")
        # Negotiated by both ends without a message: it makes the section of data channels.
        self.own = self.pc.createDataChannel("corecast", negotiated=True, id=0)

        @self.pc.on("datachannel")
        def opened(channel):
            numbers = self.channels[channel.label] = []
            channel.on("message", lambda text: numbers.append(int(text)))

        self.session = await _join(self.pc, "whep", stream)
        return self

    async def close(self):
        await asyncio.to_thread(delete, self.session)
        await self.pc.close()


async def play(stream, seconds, kinds=("audio", "video")):
    """Plays so many seconds of the stream's own time, however long this machine takes for them; returns what was decoded."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    seen = {"video": 0, "audio": 0, "width": 0, "height": 0, "bands": set(), "loudest": 0, "backwards": 0}
    played = dict.fromkeys(kinds, 0.0)
    tasks = []

    async def consume(track):
        first = last = None
        try:
            while True:
                frame = await track.recv()
                first = frame.pts if first is None else first
                played[track.kind] = float((frame.pts - first) * frame.time_base)
                seen[track.kind] += 1
                if last is not None and frame.pts <= last:
                    seen["backwards"] += 1
                last = frame.pts
                if track.kind == "video":
                    seen["width"], seen["height"] = frame.width, frame.height
                    row = frame.to_ndarray(format="gray")[frame.height // 2]
                    means = [part.mean() for part in numpy.array_split(row, BANDS)]
                    if max(means) > 150:
                        seen["bands"].add(int(numpy.argmax(means)))
                else:
                    seen["loudest"] = max(seen["loudest"], int(numpy.abs(frame.to_ndarray()).max()))
        except MediaStreamError:
            pass

    pc.on("track", lambda track: tasks.append(asyncio.ensure_future(consume(track))))
    for kind in kinds:
        pc.addTransceiver(kind, direction="recvonly")
    try:
        session = await _join(pc, "whep", stream)
        deadline = time.monotonic() + PLAYED_SECONDS + seconds
        while min(played.values()) < seconds and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        seen["played"] = {kind: round(time_of_kind, 1) for kind, time_of_kind in played.items()}
        await asyncio.to_thread(delete, session)
    finally:
        await pc.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return seen
