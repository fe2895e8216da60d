// Reports when a beep starts: the first sample above the threshold after a quarter of a second without one.

class Onset extends AudioWorkletProcessor {
  #lastLoud = -Infinity;

  process([input]) {
    const samples = input[0];
    if (samples) {
      for (let i = 0; i < samples.length; i++) {
        if (Math.abs(samples[i]) < 0.1) continue;
        const at = (currentFrame + i) / sampleRate;
        if (at - this.#lastLoud > 0.25) this.port.postMessage(at);
        this.#lastLoud = at;
      }
    }
    return true;
  }
}

registerProcessor('onset', Onset);
