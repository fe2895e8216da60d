// One `<video>` goes over from one connection's stream to another's without a gap in picture or sound.
//
// A new source in an element costs 86 to 117 ms in Chromium, in which it shows nothing new. So the new stream first plays in an
// element of the SDK's own that lies over the page's: it is shown in the callback of its own first picture that is no older than what
// the page's element shows (both carry the same RTP timestamps), its sound takes over from the old one's, and then the page's element is
// given the new stream below it. When that shows a picture, the SDK's own element goes.
//
// Nothing is laid over an element that nobody sees through the page (hidden page, picture in picture, full screen): there the
// source is changed at once, with the sound in the SDK's own element meanwhile. A paused element keeps its picture: the new
// tracks are exchanged in its stream, and seen when it is played.

/** A stream that has shown nothing for so long is taken as it is: a publisher may be away. */
const FIRST_FRAME_MS = 4_000;
/** A node begins with the past, sends it faster than it was with timestamps of now, and is at the live edge after this long. */
const LIVE_AFTER_MS = 700;
/** How long the page's element is waited for below. */
const TAKEN_MS = 2_000;

/** What an element of the page looks like, as far as one that lies over it must look the same. */
const LOOKS = ['objectFit', 'objectPosition', 'borderRadius', 'transform', 'transformOrigin', 'filter', 'opacity', 'zIndex', 'clipPath'];

/** Resolves with the element's next picture, or when it plays where pictures cannot be waited for, or after a while. */
function nextFrame(/** @type {HTMLVideoElement} */ video, /** @type {number} */ withinMs, hidden = document.hidden) {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, withinMs);
    const done = () => { clearTimeout(late); resolve(undefined); };
    if (!hidden && video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else if (video.readyState >= 3 && !video.paused) done();
    else video.addEventListener('playing', done, { once: true });
  });
}

/** How much later `b` is, in ticks of 32 bits that wrap around. @param {number} a @param {number} b */
const later = (a, b) => (b - a) | 0;

export class Handover {
  #video;
  #own = document.createElement('video');
  #media;
  #cancelled = false;
  /** Sound of the old stream that was turned off. @type {MediaStreamTrack[]} */
  #silenced = [];

  /** @param {HTMLVideoElement} video the page's @param {MediaStream} media the new stream */
  constructor(video, media) {
    this.#video = video;
    this.#media = media;
    const own = this.#own;
    own.muted = true;
    own.playsInline = true;
    own.tabIndex = -1;
    own.setAttribute('aria-hidden', 'true');
    own.style.cssText = 'position:absolute;pointer-events:none;visibility:hidden;margin:0;border:0;padding:0';
  }

  /** Whether the page's element is seen where another one can lie over it. */
  get #isSeen() {
    const video = this.#video;
    return video.isConnected && !document.hidden && !document.fullscreenElement?.contains(video)
      && document.pictureInPictureElement !== video && video.getClientRects().length > 0;
  }

  /** Plays the new stream beside the old one. Resolves when it can be heard and seen, in the page's element or over it. */
  async begin() {
    const [video, own] = [this.#video, this.#own];
    if (video.paused) return;
    const lies = this.#isSeen;
    if (lies) this.#layOver();
    own.srcObject = this.#media;
    const caughtUp = document.hidden ? nextFrame(own, FIRST_FRAME_MS) : this.#caughtUp();
    own.play().catch(() => {});
    await caughtUp;
    // Given up meanwhile: the old stream stays as it is.
    if (this.#cancelled) return;
    // Without a picture there is nothing that could lie over the old one.
    if (lies && own.readyState >= own.HAVE_CURRENT_DATA) own.style.visibility = 'visible';
    // The old sound ends as the new one begins. Volume and muting of the page's element stay as the page set them.
    if (!video.muted && !own.paused) {
      own.volume = video.volume;
      own.muted = false;
      this.#silenced = old(video).filter((track) => track.enabled);
      for (const track of this.#silenced) track.enabled = false;
    }
  }

  /** Resolves with a picture of the new stream that is no older than what the page's element shows. */
  #caughtUp() {
    const [video, own] = [this.#video, this.#own];
    /** @type {number | undefined} the RTP timestamp of what the page's element shows */
    let shown;
    let over = false;
    return new Promise((resolve) => {
      const end = () => {
        over = true;
        clearTimeout(late);
        resolve(undefined);
      };
      const late = setTimeout(end, FIRST_FRAME_MS);
      if (!video.requestVideoFrameCallback) {
        own.addEventListener('playing', () => setTimeout(end, LIVE_AFTER_MS), { once: true });
        return;
      }
      /** @type {VideoFrameRequestCallback} */
      const ofOld = (_, { rtpTimestamp }) => {
        shown = rtpTimestamp;
        if (!over) video.requestVideoFrameCallback(ofOld);
      };
      let firstMs = 0;
      /** @type {VideoFrameRequestCallback} */
      const ofNew = (now, { rtpTimestamp }) => {
        if (over) return;
        firstMs ||= now;
        const isBehind = shown !== undefined && rtpTimestamp !== undefined && later(shown, rtpTimestamp) < 0;
        if (now - firstMs > LIVE_AFTER_MS && !isBehind) end();
        else own.requestVideoFrameCallback(ofNew);
      };
      video.requestVideoFrameCallback(ofOld);
      own.requestVideoFrameCallback(ofNew);
    });
  }

  /** Gives the page's element the new stream, and takes the SDK's own away when that plays. */
  async finish() {
    const video = this.#video;
    if (video.paused) {
      this.#exchange();
      return;
    }
    const taken = nextFrame(video, TAKEN_MS);
    this.#give();
    await taken;
    this.#takeAway();
  }

  /** The new stream is given up: the old one is seen and heard as before. */
  cancel() {
    this.#cancelled = true;
    for (const track of this.#silenced) track.enabled = true;
    this.#takeAway();
  }

  #takeAway() {
    this.#own.srcObject = null;
    this.#own.remove();
  }

  /**
   * A paused element keeps its source, which gets the new tracks: its picture stays, and what plays it is not told, in the middle of
   * `play()`, that its source is another one (Firefox rejects that, and for ended tracks it is never done).
   */
  #exchange() {
    const source = this.#video.srcObject;
    if (!(source instanceof MediaStream)) return;
    for (const track of source.getTracks()) source.removeTrack(track);
    for (const track of this.#media.getTracks()) source.addTrack(track);
  }

  #give() {
    const video = this.#video;
    video.srcObject = this.#media;
    // A page that pauses at this very moment interrupts it.
    video.play().catch(() => {});
  }

  #layOver() {
    const [video, own] = [this.#video, this.#own];
    const look = getComputedStyle(video);
    for (const name of LOOKS) /** @type {any} */ (own.style)[name] = /** @type {any} */ (look)[name];
    const within = /** @type {HTMLElement | null} */ (video.offsetParent);
    // Where nothing positioned contains it, offsets count from the page's beginning.
    const isPlain = within === document.body && getComputedStyle(document.body).position === 'static';
    const rectangle = video.getBoundingClientRect();
    const from = within && !isPlain ? within.getBoundingClientRect() : { left: -scrollX, top: -scrollY };
    const border = within && !isPlain ? { left: within.clientLeft - within.scrollLeft, top: within.clientTop - within.scrollTop } : { left: 0, top: 0 };
    Object.assign(own.style, {
      left: `${rectangle.left - from.left - border.left}px`, top: `${rectangle.top - from.top - border.top}px`,
      width: `${video.offsetWidth}px`, height: `${video.offsetHeight}px`,
    });
    video.after(own);
  }
}

/** The sound tracks an element plays now. @param {HTMLVideoElement} video @returns {MediaStreamTrack[]} */
const old = (video) => (video.srcObject instanceof MediaStream ? video.srcObject.getAudioTracks() : []);
