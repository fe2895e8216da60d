"""Clients on machines of their own: publishers, viewers in browsers, and what they saw.

    with Browsers(cluster, "studio") as studio, Browsers(cluster, "home") as home:
        publisher = studio.publish("o1", "s")
        viewer = home.watch("e1", "s", kind="firefox", way="websocket")
        seen = viewer.seen()

Pictures carry their number and the time at which they were drawn (tests/browser/pages/barcode.js). They are numbered by the clock,
so that a publisher who comes back goes on where another ended. Frames are those that the browser shows, or hands to the page.
"""

import concurrent.futures
import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from cluster import ARTIFACTS, require

HERE = Path(__file__).resolve().parent
FRAME_MS = 1000 / 30
ANSWER_SECONDS = 120
# 320 by 240 in VP8, which every browser here plays.
PICTURE = {"codec": "video/VP8", "width": 320, "height": 240, "maxBitrate": 400_000}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def shares(values, digits):
    return {f"p{round(100 * share)}": round(percentile(values, share), digits or None) for share in (0.5, 0.95, 0.99)}


class Seen:
    """What a viewer was shown. Times are milliseconds since the epoch; `stalls`: when the viewer's page was not let run.

    `before`: when it was shown the last picture before these; `until`: when it was asked. So a gap at either end is one too.
    """

    def __init__(self, name, frames, stalls, before, until):
        self.name, self.stalls, self.before, self.until = name, stalls, before, until
        self.shown = [(number, at, late) for number, at, late, _ in frames if number >= 0]
        # When its last packet was there, where the browser tells it (the SDK's viewers): without decoder and jitter buffer.
        self.received = [(number, at) for number, _, _, at in frames if number >= 0 and at is not None]
        self.unreadable = len(frames) - len(self.shown)
        self.numbers = {number for number, *_ in self.shown}
        self.backwards = sum(after[0] < before[0] for before, after in zip(self.shown, self.shown[1:]))

    def gaps(self, stalls=()):
        """Times between frames, without those in which a page was not let run: `(ms, when it began)`, the longest first."""
        def judged(before, after):
            stalled = sum(max(0, min(end, after) - max(begin, before)) for begin, end in [*self.stalls, *stalls])
            return max(0, after - before - stalled), before

        times = [] if self.before is None else [self.before]
        times += [at for _, at, _ in self.shown]
        times += [max(self.until, times[-1])] if times else []
        return sorted((judged(before, after) for before, after in zip(times, times[1:])), reverse=True)

    def figures(self, stalls=()):
        gaps = [ms for ms, _ in self.gaps(stalls)]
        # As WebRTC's statistics have it: three times the usual time, and at least 150 ms more than it.
        frozen = [ms for ms in gaps if ms >= max(3 * FRAME_MS, FRAME_MS + 150)]
        span = max(self.numbers) - min(self.numbers) + 1 if self.numbers else 0
        late = [each for *_, each in self.shown]
        return {
            "frames": len(self.numbers), "of": span, "unreadable": self.unreadable, "backwards": self.backwards,
            "longest_gap_ms": round(gaps[0]) if gaps else None, "freezes": len(frozen), "frozen_ms": round(sum(frozen)),
            "frozen_frames": round(sum(ms - FRAME_MS for ms in frozen) / FRAME_MS),
            "latency_ms": shares(late, 0) if late else None,
        }


def added(seen, beside):
    """How much later than another viewer one had the frames that both were shown, ms; and how many it missed.

    Of two viewers that are told when packets came that is compared, else when pictures were shown, each by its own jitter buffer.
    """
    of = "received" if seen.received and beside.received else "shown"
    times = {number: at for number, at, *_ in getattr(beside, of)}
    later = [at - times[number] for number, at, *_ in getattr(seen, of) if number in times]
    if not seen.numbers or not beside.numbers:
        return {"by": of, "p50": None, "p95": None, "p99": None, "common": 0, "missed": len(beside.numbers)}
    # Only where both were watching.
    first, last = max(min(seen.numbers), min(beside.numbers)), min(max(seen.numbers), max(beside.numbers))
    missed = [number for number in beside.numbers if first <= number <= last and number not in seen.numbers]
    return {"by": of, **shares(later, 1), "common": len(later), "missed": len(missed)}


class End:
    """A publisher or a viewer in a page."""

    def __init__(self, browsers, name, answer):
        self.browsers, self.name, self.answer = browsers, name, answer
        self.location = answer.get("location")

    def stats(self):
        return self.browsers.call("stats", **{"as": self.name})

    def events(self):
        return self.browsers.call("events", **{"as": self.name})

    def leave(self):
        self.browsers.forget(self, "leave")

    def vanish(self):
        self.browsers.forget(self, "vanish")


class Viewer(End):
    def first_frame_ms(self, within=30):
        """From the request to the first picture."""
        return round(self.browsers.call("first", **{"as": self.name}, askedAt=self.answer["askedAt"], within=within * 1000))

    def seen(self):
        """What was shown since the last call."""
        log = self.browsers.call("take", **{"as": self.name})
        origin = log["origin"]
        frames = [(number, origin + at, late, origin + rest[0] if rest and rest[0] else None)
                  for number, at, late, _, *rest in log["frames"]]
        before = self.answer.get("shown_at")
        seen = Seen(self.name, frames, log["stalls"], before, origin + log["now"])
        if seen.shown:
            self.answer["shown_at"] = seen.shown[-1][1]
        return seen

    def screenshot(self, file):
        self.browsers.call("screenshot", **{"as": self.name}, file=file)


class Publisher(End):
    def stalls(self):
        """When its page was not let run, since the last call."""
        return self.browsers.call("takeStalls", **{"as": self.name})


class Browsers:
    """Chromium and Firefox on one machine, each started when it is wanted first; a context manager."""

    def __init__(self, cluster, machine):
        self.cluster, self.machine = cluster, cluster.machines[machine]
        self.ids, self.waiting, self.ends = itertools.count(1), {}, []
        self.lock = threading.Lock()

    def __enter__(self):
        self.log = open(ARTIFACTS / f"browsers-cluster-{self.machine.name}.log", "w")
        # What is measured is the cluster, not what else this machine does.
        command = ["nice", "-n", "-10", "node", HERE / "driver.mjs"]
        self.process = self.machine.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            self.waiting.pop(answer["id"]).set_result(answer)
        for future in list(self.waiting.values()):
            future.set_result({"error": "the browsers' driver has ended"})

    def call(self, what, **how):
        number, future = next(self.ids), concurrent.futures.Future()
        with self.lock:
            self.waiting[number] = future
            self.process.stdin.write(json.dumps({"id": number, "do": what, **how}) + "\n")
            self.process.stdin.flush()
        answer = future.result(ANSWER_SECONDS)
        if "error" in answer:
            raise RuntimeError(f"{what} {how.get('as', '')}: {answer['error']}")
        return answer["value"]

    def publish(self, node, stream, kind="chromium", **options):
        name = f"publisher-{stream}-{next(self.ids)}"
        how = {"as": name, "kind": kind, "url": self.cluster[node].url, "stream": stream, **PICTURE, **options}
        end = Publisher(self, name, self.call("publish", **how))
        self.ends.append(end)
        return end

    def watch(self, node, stream, kind="chromium", way="whep"):
        """`way`: `whep` by the tests' own page, or `websocket` or `http` by the SDK in a page of the node."""
        name = f"{kind} at {node} by {way} ({next(self.ids)})"
        how = {"as": name, "kind": kind, "url": self.cluster[node].url, "stream": stream, "way": way}
        end = Viewer(self, name, self.call("watch", **how))
        self.ends.append(end)
        return end

    def forget(self, end, how):
        self.ends.remove(end)
        self.call("leave", **{"as": end.name}, how=how)

    def leave(self):
        """Ends all that is open."""
        for end in list(self.ends):
            end.leave()


class Ffmpeg:
    """FFmpeg's WHIP muxer, as PyAV's wheel brings it, publishes numbered pictures in H.264; a context manager."""

    def __init__(self, cluster, node, stream, machine="studio"):
        self.machine, self.url = cluster.machines[machine], f"{cluster[node].url}/whip/{stream}"

    def __enter__(self):
        self.log = open(ARTIFACTS / "ffmpeg-cluster.log", "a")
        command = ["nice", "-n", "-10", sys.executable, HERE / "numbered.py", self.url]
        self.process = self.machine.start(*command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        require(line and json.loads(line).get("connected"), f"FFmpeg at {self.url} says {line!r}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


def together(*functions):
    """Calls them at once, and gives what each gave."""
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [each.result() for each in [pool.submit(function) for function in functions]]


def watch(publisher, viewers, seconds, during=lambda: None):
    """What each viewer saw in so many seconds, the publisher's stalls left out of the gaps; `during` is called at once."""
    publisher and publisher.stalls()
    for viewer in viewers:
        viewer.seen()
    began = time.monotonic()
    during()
    time.sleep(max(0, seconds - (time.monotonic() - began)))
    stalls = publisher.stalls() if publisher else []
    seen = [viewer.seen() for viewer in viewers]
    return [(each, each.figures(stalls)) for each in seen]
