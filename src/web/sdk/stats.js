// Condenses the browsers' getStats() into one small object per second, with the same names everywhere.

/**
 * One reading. Counters start with the connection, and rates are over the time since the previous reading.
 * A value is `undefined` if the browser does not report it.
 *
 * @typedef {object} Stats
 * @property {'publish' | 'play'} direction
 * @property {number} atMs when, on the clock of `performance.timeOrigin`
 * @property {string | undefined} codec as `H264`
 * @property {number | undefined} width
 * @property {number | undefined} height
 * @property {number} frames encoded or decoded
 * @property {number} framesPerSecond
 * @property {number} bitsPerSecond audio and video
 * @property {number} packets sent or received, audio and video
 * @property {number | undefined} packetsLost never arrived, even by retransmission
 * @property {number | undefined} lossShare of the packets lost: of all (play), in the last report (publish)
 * @property {number} nacks retransmissions asked for: by the node (publish), by this viewer (play)
 * @property {number} keyFrameRequests
 * @property {number | undefined} retransmitted packets
 * @property {number | undefined} roundTripMs to the node
 * @property {number | undefined} jitterBufferMs that a frame waited, of late (play)
 * @property {number | undefined} latencyMs from the node to the screen, estimated: half a round trip, the jitter buffer and decoding (play)
 * @property {number | undefined} framesDropped (play)
 * @property {number | undefined} freezes (play)
 * @property {string | undefined} limitedBy `none`, `cpu`, `bandwidth` or `other` (publish)
 * @property {number | undefined} availableBitsPerSecond the browser's estimate of the uplink (publish)
 * @property {LayerStats[]} layers what each layer of the picture sends, a twin first, then the smallest; empty where one is sent (publish)
 * @property {string | undefined} dtls the version, as `1.3`
 * @property {string | undefined} srtp the cipher
 */

/**
 * One layer of a publisher's picture.
 *
 * @typedef {object} LayerStats
 * @property {string} rid its name; empty without simulcast
 * @property {string | undefined} codec as `H264`
 * @property {boolean} twin it is the picture's twin in another codec
 * @property {number | undefined} width
 * @property {number | undefined} height
 * @property {number} framesPerSecond
 * @property {number} bitsPerSecond
 * @property {boolean} paused nothing of it was sent since the previous reading: the browser pauses upper layers when the uplink or the computer does not suffice
 */

/**
 * An entry of a stats report. The standard's dictionaries differ by type, and browsers fill in different fields.
 *
 * @typedef {Record<string, any>} Entry
 */

/** The versions as the DTLS record layer writes them (RFC 6347, RFC 9147). @type {Record<string, string>} */
const DTLS_VERSIONS = { FEFF: '1.0', FEFD: '1.2', FEFC: '1.3' };

/** Turns cumulative counters into rates between two readings. */
export class Meter {
  /** @type {{ pc: RTCPeerConnection, atMs: number, bytes: number, frames: number, buffered: number, emitted: number, decodeMs: number, layers: Map<string, { bytes: number, frames: number }> } | null} */
  #last = null;

  /**
   * @param {RTCPeerConnection} pc
   * @param {'publish' | 'play'} direction
   * @returns {Promise<Stats>}
   */
  async read(pc, direction) {
    /** @type {Entry[]} */
    const report = [];
    (await pc.getStats()).forEach((entry) => report.push(entry));
    return this.digest(report, pc, direction);
  }

  /**
   * @param {Entry[]} report
   * @param {RTCPeerConnection} pc the connection that it is from, because another connection's counters start at 0
   * @param {'publish' | 'play'} direction
   * @returns {Stats}
   */
  digest(report, pc, direction) {
    const plays = direction === 'play';
    const type = plays ? 'inbound-rtp' : 'outbound-rtp';
    /** @param {string} kind @returns {Entry} */
    const flow = (kind) => report.find((entry) => entry.type === type && entry.kind === kind) ?? {};
    /** @param {string | undefined} id @returns {Entry} */
    const byId = (id) => report.find((entry) => entry.id === id && id !== undefined) ?? {};
    const layers = plays ? [] : report.filter((entry) => entry.type === type && entry.kind === 'video');
    // The twin's section comes after the picture's.
    const first = Math.min(...layers.map((layer) => Number(layer.mid ?? 0)));
    /** @param {Entry} layer */
    const isTwin = (layer) => Number(layer.mid ?? 0) !== first;
    layers.sort((a, b) => Number(isTwin(b)) - Number(isTwin(a)) || (a.frameHeight ?? 0) - (b.frameHeight ?? 0) || a.bytesSent - b.bytesSent);
    const [video, audio] = [layers.length > 1 ? together(layers) : flow('video'), flow('audio')];
    /** @param {Entry} entry @returns {string | undefined} */
    const codecOf = (entry) => byId(entry.codecId).mimeType?.replace(/^\w+\//, '');
    const transport = report.find((entry) => entry.type === 'transport') ?? {};
    // Firefox has no transport entry. There the pair in use is the nominated one.
    const pair = transport.selectedCandidatePairId ? byId(transport.selectedCandidatePairId)
      : report.find((entry) => entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') ?? {};
    /** @param {string} name */
    const both = (name) => (video[name] ?? 0) + (audio[name] ?? 0);

    const now = {
      pc, atMs: video.timestamp ?? audio.timestamp ?? 0, bytes: both(plays ? 'bytesReceived' : 'bytesSent'),
      frames: (plays ? video.framesDecoded : video.framesEncoded) ?? 0,
      buffered: video.jitterBufferDelay ?? audio.jitterBufferDelay ?? 0,
      emitted: video.jitterBufferEmittedCount ?? audio.jitterBufferEmittedCount ?? 0,
      decodeMs: 1_000 * (video.totalDecodeTime ?? 0),
      layers: new Map(layers.map((layer) => [`${layer.mid}/${layer.rid}`, { bytes: layer.bytesSent ?? 0, frames: layer.framesEncoded ?? 0 }])),
    };
    const before = this.#last?.pc === pc ? this.#last : now;
    // Two readings of the same instant have no rate, so the older one stays for the next comparison.
    if (before.atMs !== now.atMs || before === now) this.#last = now;
    const seconds = (now.atMs - before.atMs) / 1_000;
    /** @param {number} difference */
    const per = (difference) => (seconds > 0 ? difference / seconds : 0);
    const emitted = now.emitted - before.emitted;
    const decoded = now.frames - before.frames;
    const packets = both(plays ? 'packetsReceived' : 'packetsSent');
    const remote = byId(video.remoteId ?? audio.remoteId);
    const lostOf = layers.map((layer) => byId(layer.remoteId).packetsLost ?? 0);
    const lost = plays ? both('packetsLost') : layers.length > 1 ? lostOf.reduce((sum, each) => sum + each, 0) : remote.packetsLost;
    const roundTripMs = milliseconds(pair.currentRoundTripTime ?? remote.roundTripTime);
    const jitterBufferMs = !plays || now.emitted === 0 ? undefined
      : 1_000 * (emitted > 0 ? (now.buffered - before.buffered) / emitted : now.buffered / now.emitted);
    return {
      direction, atMs: now.atMs,
      codec: codecOf(video) ?? codecOf(audio),
      width: video.frameWidth, height: video.frameHeight,
      frames: now.frames, framesPerSecond: per(decoded), bitsPerSecond: per(8 * (now.bytes - before.bytes)),
      packets, packetsLost: lost,
      lossShare: plays ? (packets + lost > 0 ? Math.max(0, lost) / (packets + Math.max(0, lost)) : 0) : remote.fractionLost,
      nacks: video.nackCount ?? 0, keyFrameRequests: (video.pliCount ?? 0) + (video.firCount ?? 0),
      retransmitted: plays ? video.retransmittedPacketsReceived : video.retransmittedPacketsSent,
      roundTripMs, jitterBufferMs,
      latencyMs: jitterBufferMs === undefined || roundTripMs === undefined ? undefined
        : roundTripMs / 2 + jitterBufferMs + (decoded > 0 ? (now.decodeMs - before.decodeMs) / decoded : 0),
      framesDropped: video.framesDropped, freezes: video.freezeCount,
      limitedBy: video.qualityLimitationReason, availableBitsPerSecond: plays ? undefined : pair.availableOutgoingBitrate,
      layers: layers.length < 2 ? [] : layers.map((layer) => {
        const { bytes = 0, frames = 0 } = before.layers.get(`${layer.mid}/${layer.rid}`) ?? {};
        const bitsPerSecond = per(8 * ((layer.bytesSent ?? 0) - bytes));
        return {
          rid: layer.rid ?? '', codec: codecOf(layer), twin: isTwin(layer), width: layer.frameWidth, height: layer.frameHeight, bitsPerSecond,
          framesPerSecond: per((layer.framesEncoded ?? 0) - frames), paused: seconds > 0 && bitsPerSecond === 0,
        };
      }),
      dtls: DTLS_VERSIONS[transport.tlsVersion] ?? transport.tlsVersion, srtp: transport.srtpCipher,
    };
  }
}

/** The layers' counters that add up. */
const SUMS = ['bytesSent', 'packetsSent', 'nackCount', 'pliCount', 'firCount', 'retransmittedPacketsSent'];

/**
 * Several layers as one flow: sums where they add up, else the largest layer's, and the pictures of the one that sent most.
 *
 * @param {Entry[]} layers the smallest first
 * @returns {Entry}
 */
function together(layers) {
  const largest = layers.filter((layer) => layer.bytesSent > 0 && layer.active !== false).at(-1) ?? layers[0];
  const sums = SUMS.map((name) => [name, layers.reduce((sum, layer) => sum + (layer[name] ?? 0), 0)]);
  return { ...largest, ...Object.fromEntries(sums), framesEncoded: Math.max(...layers.map((layer) => layer.framesEncoded ?? 0)) };
}

/** @param {number | undefined} seconds */
const milliseconds = (seconds) => (seconds === undefined ? undefined : 1_000 * seconds);
