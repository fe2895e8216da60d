"""GStreamer's webrtcbin plays over WHEP as `whepsrc` does: Opus without channels, H.264 without a packetisation mode.

    gstreamer_play.py STREAM SECONDS

Prints one JSON object when the stream's own time of both media has come to SECONDS: how many pictures were put
together and how many pieces of sound decoded.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from node_under_test import delete, post_offer  # noqa: E402

CAPS = {
    "video": "application/x-rtp,media=video,encoding-name=H264,payload=101,clock-rate=90000",
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000",
}
# No decoder of H.264 is sure to be here: what is counted is whole pictures.
DECODERS = {
    "video": "rtph264depay ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au",
    "audio": "rtpopusdepay ! opusdec",
}
GIVE_UP_SECONDS = 60


def main(stream, seconds):
    Gst.init(None)
    pipeline, loop = Gst.Pipeline.new(None), GLib.MainLoop()
    peer = Gst.ElementFactory.make("webrtcbin", "peer")
    peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
    pipeline.add(peer)
    seen = {kind: 0 for kind in CAPS}
    played, first, session, failed = {kind: 0.0 for kind in CAPS}, {}, [], []

    def fail(why):
        failed.append(str(why))
        loop.quit()

    def on_pad(_, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        chain = Gst.parse_bin_from_description(f"queue ! {DECODERS[kind]} ! fakesink name=sink sync=false signal-handoffs=true", True)

        def handoff(_, buffer, __):
            seen[kind] += 1
            if buffer.pts == Gst.CLOCK_TIME_NONE:
                return
            first.setdefault(kind, buffer.pts)
            played[kind] = (buffer.pts - first[kind]) / Gst.SECOND
            if min(played.values()) >= seconds:
                loop.quit()

        chain.get_by_name("sink").connect("handoff", handoff)
        pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def on_gathered(element, _):
        if element.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE or session:
            return
        try:
            offer = element.get_property("local-description").sdp.as_text()
            answer, url = post_offer("whep", stream, offer)
            session.append(url)
            print(offer, answer, sep="\n", file=sys.stderr, flush=True)
            _, message = GstSdp.SDPMessage.new()
            GstSdp.sdp_message_parse_buffer(answer.encode(), message)
            description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
            element.emit("set-remote-description", description, Gst.Promise.new())
        except Exception as error:  # the loop would swallow it
            fail(error)

    def on_offer(promise, *_):
        promise.wait()
        reply = promise.get_reply()  # owns the offer: it has to outlive the call below
        peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def on_negotiation(element):
        element.emit("create-offer", None, Gst.Promise.new_with_change_func(on_offer, None, None))

    def on_message(_, message):
        if message.type == Gst.MessageType.ERROR:
            fail(message.parse_error())

    peer.connect("pad-added", on_pad)
    peer.connect("on-negotiation-needed", on_negotiation)
    peer.connect("notify::ice-gathering-state", on_gathered)
    for caps in CAPS.values():
        peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", on_message)
    give_up = GIVE_UP_SECONDS + int(seconds)
    GLib.timeout_add_seconds(give_up, lambda: fail(f"{played} s of the stream came in {give_up} s: {seen}"))
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    if session:
        delete(session[0])
    pipeline.set_state(Gst.State.NULL)
    print(json.dumps({"error": failed[0]} if failed else {**seen, "played": played}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
