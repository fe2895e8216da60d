"""GStreamer's webrtcbin publishes over WHIP, the POST made by hand. Run by the system's Python, which has `gi`.

    gstreamer_publish.py STREAM H264|VP8|BARE

BARE is webrtcbin as it comes: one section of H.264 and no BUNDLE group, its parameter sets in the offer only. Publishes until its standard input closes. Prints one JSON object a line: {"state": ...}, {"certificate": PEM}.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from node_under_test import delete, post_offer  # noqa: E402

ENCODERS = {
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=1500 ! "
            "video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96 ! "
            "application/x-rtp,media=video,encoding-name=H264,payload=96",
    "VP8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=1500000 ! rtpvp8pay pt=96 ! "
           "application/x-rtp,media=video,encoding-name=VP8,payload=96",
}


SOUND = (
    "audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! queue ! opusenc ! rtpopuspay pt=97 ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer."
)
# The bitstream's form without parameter sets in it; the payloader writes those it knows into the caps, so the offer.
ENCODERS["BARE"] = ENCODERS["H264"].replace("profile=constrained", "stream-format=avc,profile=constrained").replace(
    "config-interval=-1", "config-interval=0")


def say(**what):
    print(json.dumps(what), flush=True)


def main(stream, codec):
    Gst.init(None)
    pipeline = Gst.parse_launch(
        f"webrtcbin name=peer {'' if codec == 'BARE' else 'bundle-policy=max-bundle'} "
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! videoconvert ! queue ! "
        f"{ENCODERS[codec]} ! peer. {'' if codec == 'BARE' else SOUND}"
    )
    peer = pipeline.get_by_name("peer")
    loop = GLib.MainLoop()
    session = []
    failed = []

    def fail(why):
        failed.append(why)
        say(error=str(why))
        loop.quit()

    def on_gathered(element, _):
        if element.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE or session:
            return
        try:
            offer = element.get_property("local-description").sdp.as_text()
            answer, url = post_offer("whip", stream, offer)
            session.append(url)
            print(offer, answer, sep="\n", file=sys.stderr, flush=True)
            _, message = GstSdp.SDPMessage.new()
            GstSdp.sdp_message_parse_buffer(answer.encode(), message)
            description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
            element.emit("set-remote-description", description, Gst.Promise.new())
        except Exception as error:  # the loop would swallow it
            fail(error)

    def on_state(element, _):
        state = element.get_property("connection-state")
        say(state=state.value_nick)
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            transceiver = element.emit("get-transceiver", 0)
            say(certificate=transceiver.get_property("sender").get_property("transport").get_property("certificate"))
        if state == GstWebRTC.WebRTCPeerConnectionState.FAILED:
            fail("the connection failed")

    def on_offer(promise, *_):
        promise.wait()
        reply = promise.get_reply()  # owns the offer: it has to outlive the call below
        offer = reply.get_value("offer")
        peer.emit("set-local-description", offer, Gst.Promise.new())

    def on_negotiation(element):
        for index in range(1 if codec == "BARE" else 2):
            element.emit("get-transceiver", index).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        element.emit("create-offer", None, Gst.Promise.new_with_change_func(on_offer, None, None))

    def on_message(_, message):
        if message.type == Gst.MessageType.ERROR:
            fail(message.parse_error())

    peer.connect("on-negotiation-needed", on_negotiation)
    peer.connect("notify::ice-gathering-state", on_gathered)
    peer.connect("notify::connection-state", on_state)
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", on_message)

    def wait_for_the_end():
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    if session:
        delete(session[0])
    pipeline.set_state(Gst.State.NULL)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
