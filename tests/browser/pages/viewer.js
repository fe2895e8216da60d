// The watching side of the tests: plays what it is given and writes down every presented frame.

import { readVideoFrame } from './barcode.js';
import { watchStalls } from './stalls.js';

const video = document.getElementById('video');

const probe = (window.probe = {
  ready: true,
  /** [frame number, or -1 if unreadable; presentation time; milliseconds since it was drawn; width] per presented frame */
  frames: [],
  /** presentation times of flagged frames and onset times of beeps, in milliseconds of performance.now() */
  flags: [],
  beeps: [],
  presented: 0,
  missed: 0,
  /** every state the connection has been in, and how many connections there were */
  states: [],
  connections: 0,
  stalls: watchStalls(),
});

function watchOver(pc) {
  probe.connections++;
  pc.onconnectionstatechange = () => {
    probe.states.push(pc.connectionState);
    if (pc.connectionState === 'connected') probe.connectedAt ??= performance.now();
  };
}

const scratch = { bytes: new Uint8Array(1 << 17) };

/**
 * Reads frames where the browser hands them to a page for presentation. Chromium gives the track's own frames: three
 * software compositors beside an encoder and three decoders would be the whole machine, and what they drop says
 * nothing about the node. Firefox has no such interface, so there a video element presents them.
 */
function watchTrack(track) {
  if (!('MediaStreamTrackProcessor' in window)) {
    video.requestVideoFrameCallback(onFrame);
    return;
  }
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 30 }).readable.getReader();
  (async () => {
    for (;;) {
      const { done, value: picture } = await reader.read();
      if (done) return;
      const shownAt = performance.now();
      probe.presented++;
      probe.firstFrameAt ??= shownAt;
      await note(picture, shownAt, picture.codedWidth);
    }
  })().catch((error) => { probe.error = String(error); });
}

async function onFrame(now, metadata) {
  video.requestVideoFrameCallback(onFrame);
  probe.presented = metadata.presentedFrames;
  probe.firstFrameAt ??= performance.now();
  let picture;
  try {
    picture = new VideoFrame(video, { timestamp: 0 });
  } catch {
    probe.missed++; // the element moved on before it was read: the frame counts as not seen
    return;
  }
  await note(picture, metadata.expectedDisplayTime, metadata.width);
}

/** Writes down one frame and closes it. */
async function note(picture, shownAt, width) {
  try {
    const code = await readVideoFrame(picture, scratch);
    if (!code) {
      probe.frames.push([-1, shownAt, 0, width]);
      return;
    }
    const latency = (Math.floor(performance.timeOrigin + shownAt) % 2 ** 32) - code.timeMs;
    probe.frames.push([code.frame, shownAt, latency, width]);
    if (code.frame % 30 === 0) probe.flags.push(shownAt);
  } catch (error) {
    probe.error = String(error);
  } finally {
    picture.close();
  }
}

/**
 * AudioContext time to performance.now(): the smallest difference of the last two half seconds, as a poll can only be
 * late. Not of all time: a context that the machine held back does not catch up, and each hold would make every later
 * beep look earlier by as much.
 */
const clockOffsets = [Infinity, Infinity];
const clockOffset = () => Math.min(...clockOffsets);

async function listen(stream) {
  const context = new AudioContext({ latencyHint: 'interactive' });
  probe.audio = context;
  await context.audioWorklet.addModule('onset.js');
  await context.resume();
  const onset = new AudioWorkletNode(context, 'onset', { numberOfOutputs: 1 });
  onset.port.onmessage = ({ data }) => { probe.beeps.push(data * 1_000 + clockOffset()); };
  context.createMediaStreamSource(stream).connect(onset);
  const quiet = new GainNode(context, { gain: 0 });
  onset.connect(quiet).connect(context.destination);
  setInterval(() => {
    if (context.currentTime > 0) clockOffsets[0] = Math.min(clockOffsets[0], performance.now() - context.currentTime * 1_000);
  }, 7);
  setInterval(() => {
    clockOffsets.unshift(Infinity);
    clockOffsets.length = 2;
  }, 500);
}

function show(stream, track) {
  // A video element plays the sound everywhere, and the picture only where it is read from the element.
  if (track.kind === 'audio' || !('MediaStreamTrackProcessor' in window)) stream.addTrack(track);
  if (track.kind === 'video') watchTrack(track);
}

/** Returns an SDP offer to receive one video and one audio track. */
probe.offer = async ({ sound = true, gather = false } = {}) => {
  const pc = (probe.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }));
  watchOver(pc);
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.addTransceiver('video', { direction: 'recvonly' });
  const stream = new MediaStream();
  pc.ontrack = ({ track }) => {
    show(stream, track);
    if (track.kind === 'audio' && sound) listen(new MediaStream([track])).catch((error) => { probe.error = String(error); });
  };
  video.srcObject = stream;
  await pc.setLocalDescription();
  while (gather && pc.iceGatheringState !== 'complete') await new Promise((wake) => setTimeout(wake, 20));
  return pc.localDescription.sdp;
};

/** For the self-test without a node: answers a publisher directly, with its candidates inside. */
probe.answer = async (sdp) => {
  const pc = (probe.pc = new RTCPeerConnection());
  const stream = new MediaStream();
  pc.ontrack = ({ track }) => {
    show(stream, track);
    if (track.kind === 'audio') listen(new MediaStream([track])).catch((error) => { probe.error = String(error); });
  };
  video.srcObject = stream;
  probe.acceptedAt = performance.now();
  await pc.setRemoteDescription({ type: 'offer', sdp });
  await pc.setLocalDescription();
  await new Promise((done) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
    if (pc.iceGatheringState === 'complete') done();
  });
  video.play().catch((error) => { probe.error = String(error); });
  return pc.localDescription.sdp;
};

probe.accept = async (sdp) => {
  probe.acceptedAt = performance.now();
  await probe.pc.setRemoteDescription({ type: 'answer', sdp });
  video.play().catch((error) => { probe.error = String(error); });
};

/** The log since the last call, and the clock to cut it by. */
probe.take = () => {
  const taken = { now: performance.now(), frames: probe.frames, flags: probe.flags, beeps: probe.beeps,
    presented: probe.presented, origin: performance.timeOrigin, stalls: probe.stalls.splice(0) };
  probe.frames = [];
  probe.flags = [];
  probe.beeps = [];
  return taken;
};

probe.stats = async () => {
  const out = { at: performance.now(), state: probe.pc.connectionState, error: probe.error,
    states: probe.states, connections: probe.connections,
    timeToFirstFrameMs: probe.firstFrameAt - probe.acceptedAt, connectedAt: probe.connectedAt,
    firstFrameAfterConnectedMs: probe.firstFrameAt - probe.connectedAt };
  const report = await probe.pc.getStats();
  for (const entry of report.values()) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') {
      Object.assign(out, {
        ssrc: entry.ssrc, codec: report.get(entry.codecId)?.mimeType, bytes: entry.bytesReceived,
        packets: entry.packetsReceived, lost: entry.packetsLost, nack: entry.nackCount, pli: entry.pliCount,
        retransmitted: entry.retransmittedPacketsReceived, framesReceived: entry.framesReceived,
        framesDecoded: entry.framesDecoded, framesDropped: entry.framesDropped, keyFrames: entry.keyFramesDecoded,
        freezes: entry.freezeCount, frozenS: entry.totalFreezesDuration, width: entry.frameWidth, height: entry.frameHeight,
        jitterBufferMs: (1_000 * entry.jitterBufferDelay) / entry.jitterBufferEmittedCount,
        processingMs: (1_000 * entry.totalProcessingDelay) / entry.framesDecoded,
      });
    }
    if (entry.type === 'inbound-rtp' && entry.kind === 'audio') {
      Object.assign(out, {
        audioLost: entry.packetsLost, audioPackets: entry.packetsReceived, audioConcealed: entry.concealedSamples,
        audioSamples: entry.totalSamplesReceived, audioSilent: entry.silentConcealedSamples,
      });
    }
    if (entry.type === 'transport') {
      const pair = report.get(entry.selectedCandidatePairId);
      out.localPort = report.get(pair?.localCandidateId)?.port;
      out.dtls = entry.tlsVersion;
      out.srtp = entry.srtpCipher;
    }
  }
  if (out.localPort === undefined) { // Firefox has no selectedCandidatePairId
    for (const pair of report.values()) {
      if (pair.type === 'candidate-pair' && pair.selected) out.localPort = report.get(pair.localCandidateId)?.port;
    }
  }
  return out;
};

probe.close = () => probe.pc.close();
