// The test's picture where a page cannot write frames itself (Firefox): drawn on a canvas, with a tone in the place of beeps.

import { write } from './barcode.js';

const ROWS_PER_PICTURE = 18;
const ROWS = 2;

/** Noise to be drawn from, so that an encoder has to spend bits. */
function noise(width, height) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  for (let i = 0; i < image.data.length; i += 4) {
    image.data.fill(100 + Math.random() * 40, i, i + 3);
    image.data[i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Picture and sound, as tracks; `probe` is told what was drawn. */
export async function drawn(probe, { width, height, fps }) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  document.body.append(canvas);
  const context = canvas.getContext('2d');
  const grain = noise(width, height);
  const lines = Math.floor(height / ROWS_PER_PICTURE) * ROWS;
  const code = context.createImageData(width, lines);
  const luma = new Uint8Array(width * height);
  let frame = 0;
  const start = performance.now();
  const paint = () => {
    const due = Math.floor(((performance.now() - start) * fps) / 1_000);
    if (due < frame) return;
    probe.skipped += due - frame;
    frame = due;
    context.fillStyle = `hsl(${frame % 360} 30% 50%)`;
    context.fillRect(0, 0, width, height);
    const [dx, dy] = [Math.random() * (width / 2), Math.random() * (height / 2)];
    context.drawImage(grain, dx, dy, width / 2, height / 4, width / 4, height / 2, width / 2, height / 4);
    write(luma, width, height, frame, performance.timeOrigin + performance.now());
    for (let i = 0; i < width * lines; i++) code.data.set([luma[i], luma[i], luma[i], 255], 4 * i);
    context.putImageData(code, 0, 0);
    probe.drawn++;
    frame++;
  };
  paint();
  // A timer: a page that is not seen draws no animation frames.
  setInterval(paint, 1_000 / fps / 2);
  // Every picture that is drawn: with a rate of its own it would leave out every other one.
  const [video] = canvas.captureStream().getVideoTracks();
  const sound = new AudioContext();
  const out = sound.createMediaStreamDestination();
  const tone = new OscillatorNode(sound, { frequency: 440 });
  tone.connect(out);
  tone.start();
  return { video, audio: out.stream.getAudioTracks()[0] };
}
