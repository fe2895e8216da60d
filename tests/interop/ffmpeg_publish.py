"""FFmpeg's WHIP muxer, as PyAV's wheel brings it, publishes until it is killed.

    ffmpeg_publish.py STREAM

Says `connected` as a line of JSON when the node has answered. The encoder has its default profile (High) and says no
goodbye: whoever started this kills it.
"""

import datetime
import fractions
import json
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node_under_test import HTTP

WIDTH, HEIGHT, RATE, BANDS = 640, 360, 30, 8
SAMPLES = 960


def picture(number):
    plane = numpy.full((HEIGHT * 3 // 2, WIDTH), 128, dtype=numpy.uint8)
    plane[:HEIGHT] = 40
    band = (number // 10) % BANDS
    plane[:HEIGHT, band * WIDTH // BANDS:(band + 1) * WIDTH // BANDS] = 210
    frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
    frame.pts, frame.time_base = number, fractions.Fraction(1, RATE)
    return frame


def tone(number):
    at = (number * SAMPLES + numpy.arange(SAMPLES)) / 48000
    wave = (8000 * numpy.sin(2 * numpy.pi * 440 * at)).astype(numpy.int16)
    frame = av.AudioFrame.from_ndarray(numpy.repeat(wave, 2).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, number * SAMPLES, fractions.Fraction(1, 48000)
    return frame


def certificate(directory):
    """A P-256 certificate: with GnuTLS the muxer would make one of P-224 itself, which is another test's subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ffmpeg")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    made = made.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    (directory / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return {"cert_file": str(directory / "certificate.pem"), "key_file": str(directory / "key.pem")}


def main():
    stream, directory = sys.argv[1], tempfile.TemporaryDirectory(prefix="corecast-ffmpeg-")
    options = certificate(Path(directory.name))
    with av.open(f"{HTTP}/whip/{stream}", "w", format="whip", options=options) as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency", "bf": "0"})
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", RATE
        video.bit_rate = 600_000
        # ultrafast alone would make it Constrained Baseline.
        video.codec_context.options |= {"profile": "high", "x264-params": "8x8dct=1:cabac=1"}
        audio = out.add_stream("libopus", rate=48000, layout="stereo")
        start, pictures, tones, told = time.monotonic(), 0, 0, False
        while True:
            due = (time.monotonic() - start) if told else 0
            while tones * SAMPLES / 48000 <= due + 0.02:
                out.mux(audio.encode(tone(tones)))
                tones += 1
            while pictures / RATE <= due:
                out.mux(video.encode(picture(pictures)))
                pictures += 1
            if not told:
                # The header is written with the first packet: the node has answered and media flows.
                told, start = True, time.monotonic()
                print(json.dumps({"connected": True}), flush=True)
            time.sleep(0.005)


if __name__ == "__main__":
    main()
