// The publishing side of the tests. The driver fetches the offer, posts it to the node, and hands back the answer:
// what is tested is the node, so nothing of its own page is used here (pages.test.mjs does that).

import { drawn } from './source-canvas.js';
import { watchStalls } from './stalls.js';

const probe = (window.probe = { ready: true, drawn: 0, skipped: 0, stalls: watchStalls() });

function preferred(kind, mimeType) {
  const all = RTCRtpSender.getCapabilities(kind).codecs;
  const name = mimeType.toLowerCase();
  const rank = (codec) => {
    if (codec.mimeType.toLowerCase() === name) return 0;
    return /rtx$/i.test(codec.mimeType) ? 1 : 2;
  };
  const wanted = all.filter((codec) => rank(codec) < 2);
  if (!wanted.some((codec) => rank(codec) === 0)) throw new Error(`${mimeType} cannot be encoded here`);
  return wanted.sort((a, b) => rank(a) - rank(b));
}

/** Picture and sound, written by a worker. */
function written(how) {
  const video = new MediaStreamTrackGenerator({ kind: 'video' });
  const audio = new MediaStreamTrackGenerator({ kind: 'audio' });
  const worker = new Worker('source-worker.js', { type: 'module' });
  worker.onerror = (event) => { probe.error = event.message; };
  worker.onmessage = ({ data }) => Object.assign(probe, data);
  worker.postMessage({ video: video.writable, audio: audio.writable, ...how }, [video.writable, audio.writable]);
  /** Holds the picture for a time, the sound goes on. */
  probe.stall = (ms) => worker.postMessage({ stallMs: ms });
  return { video, audio };
}

/** Starts the picture and the sound; `tone` is how loud it is between beeps, where it is to be heard all the time. */
probe.tracks = async ({ width = 1280, height = 720, fps = 30, firstFrame = 0, audioDelayMs = 0, tone = 0 } = {}) => (
  'MediaStreamTrackGenerator' in window ? written({ width, height, fps, firstFrame, audioDelayMs, tone }) : drawn(probe, { width, height, fps }));

/** Starts the picture and the sound and returns an SDP offer; `layers` are its encodings. */
probe.offer = async ({ codec = 'video/H264', fps = 30, maxBitrate = 2_500_000, gather = false, layers = [{ maxBitrate }], ...source } = {}) => {
  const { video, audio } = await probe.tracks({ fps, ...source });

  const pc = (probe.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }));
  const stream = new MediaStream([video, audio]);
  pc.addTransceiver(audio, { direction: 'sendonly', streams: [stream] });
  const sender = pc.addTransceiver(video, {
    direction: 'sendonly', streams: [stream], sendEncodings: layers.map((layer) => ({ maxFramerate: fps, ...layer })),
  });
  sender.setCodecPreferences(preferred('video', codec));
  const parameters = sender.sender.getParameters();
  // A machine too small for the test must show as frames missing, not as a smaller picture.
  parameters.degradationPreference = 'maintain-resolution';
  await sender.sender.setParameters(parameters);

  /** Makes the next frame a key frame, and says when. Whether the browser can is seen by `stats().keyFrames`. */
  probe.keyFrame = async () => {
    const now = sender.sender.getParameters();
    await sender.sender.setParameters(now, { encodingOptions: now.encodings.map(() => ({ keyFrame: true })) });
    return Date.now();
  };
  await pc.setLocalDescription();
  while (gather && pc.iceGatheringState !== 'complete') await new Promise((wake) => setTimeout(wake, 20));
  return pc.localDescription.sdp;
};

probe.accept = (sdp) => probe.pc.setRemoteDescription({ type: 'answer', sdp });

/** The figures the tests judge by, and the local port, by which a test drops this connection's packets. */
probe.stats = async () => {
  const out = { at: performance.now(), state: probe.pc.connectionState, drawn: probe.drawn, skipped: probe.skipped,
    error: probe.error };
  const report = await probe.pc.getStats();
  for (const entry of report.values()) {
    if (entry.type === 'outbound-rtp' && entry.kind === 'video') {
      Object.assign(out, {
        codec: report.get(entry.codecId)?.mimeType, bytes: entry.bytesSent, packets: entry.packetsSent,
        framesEncoded: entry.framesEncoded, framesSent: entry.framesSent, keyFrames: entry.keyFramesEncoded,
        width: entry.frameWidth, height: entry.frameHeight, nack: entry.nackCount, pli: entry.pliCount,
        fir: entry.firCount, limited: entry.qualityLimitationReason, encoder: entry.encoderImplementation,
        target: entry.targetBitrate, retransmitted: entry.retransmittedPacketsSent,
      });
    }
    if (entry.type === 'transport') {
      const pair = report.get(entry.selectedCandidatePairId);
      out.localPort = report.get(pair?.localCandidateId)?.port;
      out.available = pair?.availableOutgoingBitrate;
      out.dtls = entry.tlsVersion;
      out.srtp = entry.srtpCipher;
    }
  }
  return out;
};

/** When the machine did not let this page run, since the last call. */
probe.takeStalls = () => probe.stalls.splice(0);

probe.close = () => probe.pc.close();
