// One end of a stream with data channels: `window.probe` is called by data.test.mjs.
'use strict';

const connection = new RTCPeerConnection();
const sending = new Map();
const receiving = new Map();

/** Draws, so that there is a picture to publish. */
function draw() {
  const canvas = document.querySelector('canvas');
  const context = canvas.getContext('2d');
  let frame = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${frame++ % 360} 80% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 100);
  return canvas.captureStream(10).getVideoTracks()[0];
}

async function offer() {
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((done) => setTimeout(done, 20));
  return connection.localDescription.sdp;
}

window.probe = {
  ready: true,

  /** `channels`: `{ label: options }`. */
  publish(channels) {
    const transceiver = connection.addTransceiver(draw(), { direction: 'sendonly' });
    // What every browser plays.
    transceiver.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(({ mimeType }) => mimeType === 'video/VP8'));
    for (const [label, options] of Object.entries(channels)) sending.set(label, connection.createDataChannel(label, options));
    return offer();
  },

  play() {
    connection.addTransceiver('video', { direction: 'recvonly' });
    // Negotiated by both ends without a message: it makes the section of data channels.
    connection.createDataChannel('corecast', { negotiated: true, id: 0 });
    connection.ondatachannel = ({ channel }) => {
      const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime } = channel;
      const seen = { terms: { protocol, ordered, maxRetransmits, maxPacketLifeTime }, numbers: [], closed: false };
      receiving.set(label, seen);
      channel.onmessage = ({ data }) => seen.numbers.push(Number(data));
      channel.onclose = () => { seen.closed = true; };
    };
    return offer();
  },

  accept: (sdp) => connection.setRemoteDescription({ type: 'answer', sdp }),

  state: () => ({ connection: connection.connectionState, channels: [...sending.values()].map(({ readyState }) => readyState) }),

  /** Sends numbers from 0 on each channel, in pauses. */
  async send(count, pause) {
    for (let number = 0; number < count; number++) {
      for (const channel of sending.values()) channel.send(String(number));
      await new Promise((done) => setTimeout(done, pause));
    }
  },

  say(label, text) { sending.get(label).send(text); },

  received: () => Object.fromEntries(receiving),
};
