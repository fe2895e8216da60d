// A peer connection without media, for what the SDK does around one: it makes offers that look like Chromium's, takes
// answers, and is in the state the test says. Media itself is tested in browsers (tests/browser/sdk.test.mjs).

let next = 1;

/** Listeners are called as the state changes, as in a browser. */
export class FakePeer extends EventTarget {
  /** Every connection made since `reset`, oldest first. @type {FakePeer[]} */
  static made = [];
  static reset() { FakePeer.made = []; }
  static get last() { return FakePeer.made.at(-1); }

  connectionState = 'new';
  signalingState = 'stable';
  localDescription = null;
  currentRemoteDescription = null;
  rollbacks = 0;
  /** Whether an answer is enough to be connected. */
  static connects = true;
  #transceivers = [];
  #generation = 0;
  #number = next++;

  constructor(configuration) {
    super();
    this.configuration = configuration;
    FakePeer.made.push(this);
  }

  addTransceiver(what, init) {
    const transport = Object.assign(new EventTarget(), { state: 'connected' });
    const kind = typeof what === 'string' ? what : what.kind;
    const made = { kind, init, receiver: { transport }, sender: { transport: null, track: what, async replaceTrack(track) { this.track = track; } }, setCodecPreferences() {} };
    this.#transceivers.push(made);
    return made;
  }
  /** Data channels that were made, oldest first. */
  channels = [];
  createDataChannel(label, options) {
    const channel = Object.assign(new EventTarget(), { label, options, readyState: 'connecting', sent: [], send(message) { this.sent.push(message); } });
    this.channels.push(channel);
    return channel;
  }
  getTransceivers() { return this.#transceivers; }
  get iceConnectionState() { return this.connectionState; }
  getConfiguration() { return this.configuration; }
  setConfiguration(configuration) { this.configuration = configuration; }
  async getStats() { return new Map(); }

  async createOffer({ iceRestart = false } = {}) {
    if (iceRestart) this.#generation += 1;
    const ufrag = `a=ice-ufrag:u${this.#number}g${this.#generation}`;
    return { type: 'offer', sdp: ['v=0', 'a=group:BUNDLE 0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:0', ufrag, 'a=ice-pwd:secret', ''].join('\r\n') };
  }
  async setLocalDescription(description) {
    if (description.type === 'rollback') { this.rollbacks += 1; this.signalingState = 'stable'; return; }
    this.localDescription = description;
    this.signalingState = 'have-local-offer';
  }
  async setRemoteDescription(description) {
    this.currentRemoteDescription = description;
    this.signalingState = 'stable';
    if (FakePeer.connects) queueMicrotask(() => this.become('connected'));
  }

  become(state) {
    if (this.connectionState === 'closed' || this.connectionState === state) return;
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }
  /** The node's goodbye. */
  dtlsCloses() {
    const { transport } = this.#transceivers[0].receiver;
    transport.state = 'closed';
    transport.dispatchEvent(new Event('statechange'));
  }
  close() { this.connectionState = 'closed'; }
}

globalThis.RTCPeerConnection = FakePeer;
globalThis.MediaStream ??= class { #tracks = []; addTrack(track) { this.#tracks.push(track); } getTracks() { return this.#tracks; } };

export const ANSWER = ['v=0', 'a=ice-lite', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:0', 'a=ice-ufrag:node', 'a=ice-pwd:nodepassword',
  'a=candidate:1 1 udp 1 192.0.2.1 20000 typ host', 'a=rtpmap:96 H264/90000', ''].join('\r\n');
export const FRAGMENT = ['m=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:0', 'a=ice-ufrag:node2', 'a=ice-pwd:nodepassword2',
  'a=candidate:2 1 udp 1 192.0.2.2 20000 typ host', 'a=end-of-candidates', ''].join('\r\n');
