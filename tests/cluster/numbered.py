"""FFmpeg's WHIP muxer publishes numbered pictures (tests/browser/pages/barcode.js) of 320 by 240 until it is killed.

    numbered.py URL
"""

import fractions
import json
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))

from ffmpeg_publish import SAMPLES, certificate, tone  # noqa: E402

WIDTH, HEIGHT, RATE = 320, 240, 30
COLUMNS, ROWS_PER_PICTURE = 32, 18
BLACK, WHITE = 16, 235


def checksum(frame, time_ms):
    total = 0x5A
    for word in (frame, time_ms):
        for shift in range(0, 32, 8):
            total = ((total << 1) | (total >> 7)) & 0xFF
            total ^= (word >> shift) & 0xFF
    return total


def picture(number, pts):
    frame, time_ms = number & 0xFFFFFF, int(time.time() * 1000) % 2**32
    words = [(frame << 8) | checksum(frame, time_ms), time_ms]
    plane = numpy.full((HEIGHT * 3 // 2, WIDTH), 128, dtype=numpy.uint8)
    # Some noise, so that frames have several packets.
    plane[HEIGHT // 2:HEIGHT, :WIDTH // 2] = numpy.random.randint(100, 140, (HEIGHT // 2, WIDTH // 2))
    lines, cell = HEIGHT // ROWS_PER_PICTURE, WIDTH // COLUMNS
    for row, word in enumerate(words):
        for column in range(COLUMNS):
            value = WHITE if (word >> (31 - column)) & 1 else BLACK
            plane[row * lines:(row + 1) * lines, column * cell:(column + 1) * cell] = value
    made = av.VideoFrame.from_ndarray(plane, format="yuv420p")
    made.pts, made.time_base = pts, fractions.Fraction(1, RATE)
    return made


def main():
    directory = tempfile.TemporaryDirectory(prefix="corecast-ffmpeg-")
    options = {**certificate(Path(directory.name)), "tls_verify": "0"}
    with av.open(sys.argv[1], "w", format="whip", options=options) as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency", "bf": "0"})
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", RATE
        video.bit_rate = 400_000
        video.codec_context.options |= {"profile": "baseline"}
        audio = out.add_stream("libopus", rate=48000, layout="stereo")
        start, pictures, tones, told = time.monotonic(), 0, 0, False
        first = int(time.time() * RATE)
        while True:
            due = (time.monotonic() - start) if told else 0
            while tones * SAMPLES / 48000 <= due + 0.02:
                out.mux(audio.encode(tone(tones)))
                tones += 1
            while pictures / RATE <= due:
                out.mux(video.encode(picture(first + pictures, pictures)))
                pictures += 1
            if not told:
                # The header is written with the first packet: the node has answered and media flows.
                told, start = True, time.monotonic()
                print(json.dumps({"connected": True}), flush=True)
            time.sleep(0.004)


if __name__ == "__main__":
    main()
