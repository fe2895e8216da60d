"""WebRTC stacks written by others publish to the node and play from it.

    test_interop.py [PART OF A CASE'S NAME]

CORECAST_OLD_KEYS=whole: the case of old keys with every client; without it a publisher and one viewer, beside the other cases.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from pathlib import Path

from node_under_test import ADDRESS, ADMIN, ANSWER_SECONDS, ARTIFACTS, HTTP, INSIDE, Node, enter_network

HERE = Path(__file__).resolve().parent
SYSTEM_PYTHON = os.environ.get("CORECAST_SYSTEM_PYTHON", "/usr/bin/python3")
UCLIENT = os.environ.get("CORECAST_UCLIENT", "turnutils_uclient")
SECONDS = 6
# Keys live for 60 s and a tenth more at most; then clients play on for a while.
OLD_KEYS_SECONDS = 80
OLD_KEYS = "clients of WHIP and WHEP whose keys are old play on and are counted"
# For one case: an end to what hangs.
CASE_SECONDS = 200


def require(holds, what):
    if not holds:
        raise AssertionError(what)


def check_rates(who, seen, frames, seconds=SECONDS):
    """Against the stream's own time: a machine that is held up takes longer for it and loses nothing."""
    played = seen["played"]
    require(min(played.values()) >= seconds, f"{who}: {played} s of the stream came: {seen}")
    require(frames >= 15 * played["video"], f"{who}: {frames} frames in {played['video']} s: {seen}")
    require(seen["audio"] >= 40 * played["audio"], f"{who}: {seen['audio']} pieces of sound in {played['audio']} s: {seen}")


def check_decoded(seen, bands, seconds=SECONDS):
    check_rates("aiortc", seen, seen["video"], seconds)
    require((seen["width"], seen["height"]) == (640, 360), f"{seen['width']}x{seen['height']} decoded")
    require(seen["loudest"] > 2000, f"the tone is silent: {seen['loudest']}")
    require(seen["backwards"] == 0, f"{seen['backwards']} frames went back in time")
    require(not bands or len(seen["bands"]) >= 4, f"the bright band was only at {seen['bands']}")


async def werift(stream, sound=True, seconds=SECONDS):
    """Plays with werift in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        "node", HERE / "werift_play.mjs", f"{HTTP}/whep/{stream}", str(seconds), *([] if sound else ["silent"]),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = await asyncio.wait_for(process.communicate(), 120 + seconds)
    except asyncio.TimeoutError:
        process.kill()
        raise
    require(process.returncode == 0, f"werift: exit {process.returncode}: {err.decode()}")
    seen = json.loads(out.decode().splitlines()[-1])
    print(f"    werift: {seen}")
    if sound:
        check_rates("werift", seen, seen["frames"], seconds)
    else:
        require(seen["played"]["video"] >= SECONDS and seen["frames"] >= 15 * seen["played"]["video"], f"werift: {seen}")
    require(seen["gaps"] <= 2 and len(seen["payloadTypes"]) == 1, f"werift: {seen}")


async def aiortc_publishes(codec):
    from aiortc_client import Publisher, play

    stream = f"aiortc-{codec}"
    with Node(stream) as node:
        publisher = await Publisher.start(stream, codec)
        try:
            seen = await play(stream, SECONDS)
            print(f"    aiortc: {seen}")
            check_decoded(seen, bands=True)
            if codec == "VP8":
                await werift(stream)
            states = {one["direction"]: (one["dtls_version"], one["srtp_profile"]) for one in node.sessions(stream)}
            print(f"    node: {states}")
            require("publish" in states, f"the node reports {states}")
        except BaseException:
            print(node.tail())
            raise
        finally:
            await publisher.close()


@contextlib.asynccontextmanager
async def gstreamer(stream, codec):
    """A publishing GStreamer, connected; gives its certificate."""
    # A virtual environment's variables would mislead the system's Python.
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME")}
    log = open(ARTIFACTS / f"gstreamer-{codec}.log", "w")
    process = await asyncio.create_subprocess_exec(
        SYSTEM_PYTHON, HERE / "gstreamer_publish.py", stream, codec,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, limit=1 << 20)
    try:
        async def certificate():
            while line := await process.stdout.readline():
                said = json.loads(line)
                if "error" in said:
                    raise AssertionError(f"GStreamer: {said['error']}")
                if "certificate" in said:
                    return said["certificate"]
            raise AssertionError(f"GStreamer ended: see {log.name}")
        yield await asyncio.wait_for(certificate(), 60)
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 30)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
        log.close()


async def gstreamer_plays(stream, seconds=SECONDS):
    """Plays with GStreamer in a process of its own, as its WHEP players do."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME")}
    process = await asyncio.create_subprocess_exec(
        SYSTEM_PYTHON, HERE / "gstreamer_play.py", stream, str(seconds),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        out, err = await asyncio.wait_for(process.communicate(), 120 + seconds)
    except asyncio.TimeoutError:
        process.kill()
        raise
    require(process.returncode == 0, f"GStreamer: {out.decode()} {err.decode()[-2000:]}")
    seen = json.loads(out.decode().splitlines()[-1])
    print(f"    GStreamer: {seen}")
    check_rates("GStreamer", seen, seen["video"], seconds)


async def gstreamer_publishes_bare():
    from aiortc_client import play

    stream = "gstreamer-BARE"
    with Node(stream) as node:
        try:
            async with gstreamer(stream, "BARE"):
                seen = await play(stream, SECONDS, ("video",))
                print(f"    aiortc: {seen}")
                require(seen["video"] >= 15 * seen["played"]["video"], f"{seen}")
                require((seen["width"], seen["height"]) == (640, 360), f"{seen['width']}x{seen['height']} decoded")
        except BaseException:
            print(node.tail())
            raise


async def gstreamer_publishes(codec):
    from aiortc_client import play
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

    stream = f"gstreamer-{codec}"
    with Node(stream) as node:
        try:
            async with gstreamer(stream, codec) as pem:
                key = x509.load_pem_x509_certificate(pem.encode()).public_key()
                require(isinstance(key, rsa.RSAPublicKey), f"the certificate's key is {type(key).__name__}: nothing shown")
                seen = await play(stream, SECONDS)
                print(f"    aiortc: {seen}")
                check_decoded(seen, bands=False)
                if codec == "H264":
                    await werift(stream)
                    await gstreamer_plays(stream)
                published = [one for one in node.sessions(stream) if one["direction"] == "publish"]
                require(len(published) == 1, f"the node reports {published}")
                print(f"    node: DTLS {published[0]['dtls_version']}, {published[0]['srtp_profile']}")
                require("SHA1_80" in published[0]["srtp_profile"].upper().replace("-", "_"), f"SRTP profile {published[0]['srtp_profile']}")
        except BaseException:
            print(node.tail())
            raise


async def old_keys():
    """Clients that can neither be told nor change their keys by themselves (`plain_clients_at_key_age = keep`)."""
    from aiortc_client import Publisher, play

    whole = os.environ.get("CORECAST_OLD_KEYS") == "whole"
    stream, of_gstreamer = "old-keys", "old-keys-gstreamer"

    async def aiortc_plays(stream, bands):
        seen = await play(stream, OLD_KEYS_SECONDS)
        print(f"    aiortc, of {stream}: {seen}")
        check_decoded(seen, bands, OLD_KEYS_SECONDS)

    async def counted(node, clients):
        """Waits until so many clients' keys were old; each of them plays then, with the keys that it came with."""
        deadline = time.monotonic() + OLD_KEYS_SECONDS
        while True:
            await asyncio.sleep(0.5)
            metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(ADMIN + "/metrics", timeout=ANSWER_SECONDS).read().decode())
            number = re.search(r"^corecast_plain_clients_at_key_age_total(?:{[^}]*})? (\d+)", metrics, re.MULTILINE)
            if number and int(number[1]) == clients:
                break
            require(time.monotonic() < deadline, f"{number and number[1]} of {clients} clients were counted")
        sessions = [one for name in (stream, of_gstreamer) for one in await asyncio.to_thread(node.sessions, name)]
        ages = [one["key_age_s"] for one in sessions]
        print(f"    node: {number[0]}; keys are {ages} s old")
        require(len(sessions) == clients and min(ages) >= 54, f"{sessions}")
        require(all(one["rekeys"] == 0 for one in sessions), f"{sessions}")

    with tempfile.TemporaryDirectory(prefix="corecast-interop-") as directory, contextlib.ExitStack() as stack:
        config = Path(directory) / "config.toml"
        config.write_text("[media]\nkey_lifetime_s = 60\n")
        node = stack.enter_context(Node(stream, "--config", config))
        async with contextlib.AsyncExitStack() as publishers:
            try:
                publisher = await Publisher.start(stream, "VP8")
                publishers.push_async_callback(publisher.close)
                everybody = [werift(stream, seconds=OLD_KEYS_SECONDS)]
                if whole:
                    await publishers.enter_async_context(gstreamer(of_gstreamer, "H264"))
                    everybody += [
                        aiortc_plays(stream, True), aiortc_plays(of_gstreamer, False),
                        werift(of_gstreamer, seconds=OLD_KEYS_SECONDS), gstreamer_plays(of_gstreamer, OLD_KEYS_SECONDS)]
                clients = len(everybody) + (2 if whole else 1)
                await asyncio.gather(*everybody, counted(node, clients))
            except BaseException:
                print(node.tail())
                raise


@contextlib.asynccontextmanager
async def ffmpeg(stream, run):
    """A publishing FFmpeg, connected; killed in the end, without a goodbye. Gives its process."""
    log = open(ARTIFACTS / f"ffmpeg-{stream}-{run}.log", "w")
    process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "ffmpeg_publish.py", stream,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        require(line and json.loads(line).get("connected"), f"FFmpeg did not connect: see {log.name}")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        log.close()


async def ffmpeg_publishes_high():
    from aiortc_client import play

    stream = "ffmpeg-high"
    with Node(stream) as node:
        try:
            async with ffmpeg(stream, 1):
                viewer = asyncio.create_task(play(stream, SECONDS))
                await asyncio.sleep(SECONDS / 2)
                why = [one["why"] for one in node.sessions(stream) if one["direction"] == "play"]
                seen = await viewer
                print(f"    aiortc: {seen}\n    node: {why}")
                check_decoded(seen, bands=True)
        except BaseException:
            print(node.tail())
            raise


async def ffmpeg_is_killed_and_returns():
    from aiortc_client import play

    stream = "ffmpeg-returns"
    with Node(stream) as node:
        try:
            async with ffmpeg(stream, 1) as first:
                viewer = asyncio.create_task(play(stream, 3 * SECONDS))
                await asyncio.sleep(SECONDS)
                require(not viewer.done(), f"the viewer ended early: {viewer}")
                first.kill()
                await first.wait()
                began = time.monotonic()
                async with ffmpeg(stream, 2):
                    print(f"    FFmpeg publishes again after {time.monotonic() - began:.1f} s")
                    seen = await viewer
            print(f"    aiortc: {seen}")
            check_decoded(seen, bands=True)
            published = [one for one in node.sessions(stream) if one["direction"] == "publish"]
            require(len(published) <= 1, f"the node reports {published}")
        except BaseException:
            print(node.tail())
            raise


async def data_channels():
    """A thousand messages on two channels. aiortc, as a sender, wedges after a loss on a channel with retransmissions limited,
    so that those are the browsers' case."""
    from aiortc_client import DataPlayer, Publisher

    stream, count = "aiortc-data", 500
    with Node(stream) as node:
        publisher = await Publisher.start(stream, "VP8", {
            "ordered": {"protocol": "numbers"}, "unordered": {"ordered": False},
        })
        player = await DataPlayer.start(stream)
        other = await asyncio.create_subprocess_exec(
            "node", HERE / "datachannel_play.mjs", f"{HTTP}/whep/{stream}", str(count),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            deadline = time.monotonic() + 60
            while sum(one["channels"] for one in node.sessions(stream)) < 6 or len(player.channels) < 2:
                require(time.monotonic() < deadline, f"not every channel was opened: {node.sessions(stream)}")
                await asyncio.sleep(0.2)
            await publisher.send(count, 0.02)
            out, err = await asyncio.wait_for(other.communicate(), 90)
            require(other.returncode == 0, f"node-datachannel: exit {other.returncode}: {err.decode()}")
            seen = json.loads(out.decode().splitlines()[-1])["channels"]
            both = {"aiortc": player.channels, "node-datachannel": {label: one["numbers"] for label, one in seen.items()}}
            for who, channels in both.items():
                print(f"    {who}: { {label: len(numbers) for label, numbers in channels.items()} }")
                require(sorted(channels) == ["ordered", "unordered"], f"{who}: {sorted(channels)}")
                require(channels["ordered"] == list(range(count)), f"{who}: ordered: {channels['ordered']}")
                require(sorted(channels["unordered"]) == list(range(count)), f"{who}: {channels['unordered']}")
            require(seen["ordered"]["protocol"] == "numbers", f"node-datachannel: {seen['ordered']['protocol']}")
        except BaseException:
            print(node.tail())
            raise
        finally:
            if other.returncode is None:
                other.kill()
                await other.wait()
            await player.close()
            await publisher.close()


async def three_rids():
    """libdatachannel offers three encodings as OBS does; all are accepted, each is what it says, and werift plays one."""
    stream = "rids"
    with Node(stream) as node:
        publisher = await asyncio.create_subprocess_exec(
            "node", HERE / "datachannel_simulcast.mjs", f"{HTTP}/whip/{stream}",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            line = await asyncio.wait_for(publisher.stdout.readline(), 90)
            if not line:
                raise AssertionError(f"the publisher ended: {(await publisher.stderr.read()).decode()}")
            said = json.loads(line)
            require(said == {"accepted": ["0", "1", "2"], "simulcast": "recv 0;1;2"}, f"the answer: {said}")
            deadline = time.monotonic() + 30
            while len(alive := [one for one in node.encodings(stream) if one["alive"] and one["bits_per_second"]]) < 3:
                require(time.monotonic() < deadline, f"not every encoding arrives: {node.encodings(stream)}")
                await asyncio.sleep(0.5)
            sizes = {one["rid"]: (one["width"], one["height"]) for one in alive}
            print(f"    node: { {one['rid']: (one['width'], one['height'], one['bits_per_second']) for one in alive} }")
            require(sizes == {"0": (1920, 1080), "1": (854, 480), "2": (320, 180)}, f"sizes: {sizes}")
            rates = [one["bits_per_second"] for one in sorted(alive, key=lambda one: one["rid"])]
            require(rates[0] > rates[1] > rates[2], f"rates: {rates}")
            await werift(stream, sound=False)
            publisher.stdin.close()
            said = json.loads((await asyncio.wait_for(publisher.stdout.readline(), 30)).decode())
            print(f"    publisher: {said}")
            require(said["asked"]["1"] > 0 and said["asked"]["0"] == said["asked"]["2"] == 0, f"key frames asked: {said}")
        except BaseException:
            print(node.tail())
            raise
        finally:
            if publisher.returncode is None:
                publisher.kill()
                await publisher.wait()


async def coturns_client():
    """It allocates, binds channels and sends; to other peers it is told 403. (What it says of a 401 is no number: node tests.)"""
    # TURN is offered where HTTPS can be reached: on loopback, the default, it would not.
    with Node("turn", "--https", f"{ADDRESS}:8443", "--allow-anyone") as node:
        user, password, host, port, media = turn_server()

        async def ask(peer, *more, said):
            client = await asyncio.create_subprocess_exec(
                UCLIENT, "-v", "-t", *more, "-c", "-n", "5", "-m", "1", "-l", "100", "-p", str(port),
                # Of the ports that it asks for, the one after this is the first.
                "-u", user, "-w", password, "-e", peer[0], "-r", str(peer[1] - 1), host,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                # It goes on asking for what it was refused.
                out = await asyncio.wait_for(read_until(client.stdout, said), 30)
            finally:
                if client.returncode is None:
                    client.kill()
                await client.wait()
            found = re.search(said, out)
            require(found, f"{peer} {more}: no {said!r} in:\n{out}")
            print(f"    {peer[0]}:{peer[1]} {' '.join(more)}: {found[0]!r}")

        try:
            for tls in ((), ("-S",)):
                await ask(media, *tls, said=r"cb response received: \n.*: success")
                for peer in (("9.9.9.9", 53), ("127.0.0.1", media[1]), (media[0], 8444)):
                    await ask(peer, *tls, said=r"channel bind: error 403")
        except BaseException:
            print(node.tail())
            raise


async def read_until(stream, text):
    out = ""
    while not re.search(text, out) and (line := await stream.readline()):
        out += line.decode(errors="replace")
    return out


def turn_server():
    """User, password, host and port that the node gives a viewer (RFC 9725 §4.6), and where its media goes."""
    offer = (HERE.parent / "data/sdp/aiortc-play.sdp").read_bytes()
    request = urllib.request.Request(
        f"{HTTP}/whep/turn", data=offer, headers={"content-type": "application/sdp"}, method="POST")
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        links, sdp = answer.headers["link"], answer.read().decode()
    found = [re.search(wanted, links) for wanted in (r'username="([^"]*)"', r'credential="([^"]*)"', r"<turns?:([^:]+):(\d+)")]
    require(all(found), f"no TURN server in {links!r}")
    media = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", sdp, re.IGNORECASE)
    require(media, f"no candidate in {sdp}")
    return found[0][1], found[1][1], found[2][1], int(found[2][2]), (media[1], int(media[2]))


CASES = {
    "coturn's client binds channels to the media port and to nothing else": coturns_client,
    "aiortc publishes data channels; aiortc and node-datachannel receive them": data_channels,
    "FFmpeg publishes H.264 High; aiortc, which offers Baseline only, plays": ffmpeg_publishes_high,
    "FFmpeg is killed and publishes again at once; aiortc plays on": ffmpeg_is_killed_and_returns,
    "libdatachannel publishes three rids as OBS does; werift plays": three_rids,
    "aiortc publishes VP8; aiortc and werift play": lambda: aiortc_publishes("VP8"),
    "aiortc publishes H.264; aiortc plays": lambda: aiortc_publishes("H264"),
    "bare webrtcbin publishes one section without BUNDLE, parameter sets in the offer only; aiortc plays":
        gstreamer_publishes_bare,
    "GStreamer publishes H.264 with an RSA certificate; aiortc, werift and GStreamer as WHEP player play": lambda: gstreamer_publishes("H264"),
    "GStreamer publishes VP8 with an RSA certificate; aiortc plays": lambda: gstreamer_publishes("VP8"),
    OLD_KEYS: old_keys,
}


def main():
    enter_network()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    results = []
    alongside = None
    if not wanted:
        # It waits most of its time, in a network of its own.
        outside = {name: value for name, value in os.environ.items() if name != INSIDE}
        log = tempfile.TemporaryFile("w+")
        alongside = subprocess.Popen([sys.executable, __file__, OLD_KEYS], env=outside, stdout=log, stderr=subprocess.STDOUT)
    for name, case in CASES.items():
        if wanted not in name or (alongside and name == OLD_KEYS):
            continue
        print(f"▶ {name}", flush=True)
        start = time.monotonic()
        try:
            asyncio.run(asyncio.wait_for(case(), CASE_SECONDS))
            passed = True
        except Exception as error:  # a case's failure must not end the others
            print("".join(traceback.format_tb(error.__traceback__)[-2:]) + f"{type(error).__name__}: {error}")
            passed = False
        results.append(passed)
        print(f"{'PASS' if passed else 'FAIL'} interop: {name} ({time.monotonic() - start:.1f} s)", flush=True)
    if alongside:
        try:
            alongside.wait(CASE_SECONDS)
        except subprocess.TimeoutExpired:
            alongside.kill()
            alongside.wait()
        results.append(alongside.returncode == 0)
        log.seek(0)
        print("\n".join(line for line in log.read().splitlines() if not line.startswith("interop: ")))
    failed = results.count(False)
    print(f"interop: {len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not results else 0)


if __name__ == "__main__":
    main()
