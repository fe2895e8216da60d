// Makes the test's picture and sound, a frame every 1/30 s and a block of samples every 10 ms, in a worker so that
// nothing the page does disturbs its clock. The beep starts in the same instant as every 30th frame is written.

import { write } from './barcode.js';

const SAMPLE_RATE = 48_000;
const BLOCK = 480;
const BEEP_BLOCKS = 6;
const BEEP_HZ = 1_000;
const NOISE = 1 << 20;

let running = true;
let stalledUntil = 0;
let noiseState = 0x12345678;
function random() {
  noiseState ^= noiseState << 13;
  noiseState ^= noiseState >>> 17;
  noiseState ^= noiseState << 5;
  return noiseState >>> 0;
}

/** Soft detail that scrolls, and a patch that is new noise each time: an encoder has to spend bits. */
function painter(width, height) {
  const margin = 128;
  const textureWidth = width + margin;
  const texture = new Uint8Array(textureWidth * (height + margin));
  for (let y = 0; y < height + margin; y++) {
    for (let x = 0; x < textureWidth; x++) {
      const wave = 40 * Math.sin(x / 23) + 40 * Math.cos(y / 17 + x / 91);
      texture[y * textureWidth + x] = 120 + wave + (random() % 5);
    }
  }
  const noise = new Uint8Array(NOISE).map(() => 110 + (random() % 20));
  const luma = width * height;
  const picture = new Uint8Array((luma * 3) / 2);
  for (let i = luma; i < picture.length; i++) picture[i] = 128 + (i < luma * 1.25 ? 20 : -12);
  return (frame, timeMs) => {
    const dx = frame % margin;
    const dy = (frame >> 1) % margin;
    for (let y = 0; y < height; y++) {
      const from = (y + dy) * textureWidth + dx;
      picture.set(texture.subarray(from, from + width), y * width);
    }
    for (let y = height / 2; y < height * 0.8; y++) {
      const from = random() % (NOISE - width);
      picture.set(noise.subarray(from, from + width / 4), y * width + width / 4);
    }
    if (frame % 30 < 3) {
      for (let y = height >> 2; y < height >> 1; y++) picture.fill(235, y * width, y * width + (width >> 3));
    }
    write(picture, width, height, frame, timeMs);
    return picture;
  };
}

async function run({ video, audio, width, height, fps, firstFrame, audioDelayMs, tone = 0 }) {
  const paint = painter(width, height);
  const start = performance.now() + 50;
  const frameMs = 1_000 / fps;
  const delayBlocks = Math.round(audioDelayMs / 10);
  let frame = 0;
  let block = 0;
  let skipped = 0;
  while (running) {
    const now = performance.now();
    while (block * 10 <= now - start) {
      const samples = new Float32Array(BLOCK);
      // The time of frame 0 is a whole second of sound; 100 seconds more keep the remainder positive.
      const phase = Math.round((firstFrame * frameMs) / 10);
      const inSecond = (block + phase - delayBlocks + 100 * 100) % 100;
      const loud = inSecond < BEEP_BLOCKS ? 0.5 : tone;
      if (loud) {
        for (let i = 0; i < BLOCK; i++) {
          samples[i] = loud * Math.sin((2 * Math.PI * BEEP_HZ * (inSecond * BLOCK + i)) / SAMPLE_RATE);
        }
      }
      const data = new AudioData({
        format: 'f32-planar', sampleRate: SAMPLE_RATE, numberOfFrames: BLOCK, numberOfChannels: 1,
        timestamp: Math.round((start + block * 10) * 1_000), data: samples,
      });
      audio.write(data).catch(() => { running = false; });
      block++;
    }
    const due = Math.floor((now - start) / frameMs);
    if (now < stalledUntil) {
      frame = Math.max(frame, due + 1);
    } else if (due >= frame) {
      skipped += due - frame;
      frame = due;
      const bytes = paint(firstFrame + frame, performance.timeOrigin + performance.now());
      const picture = new VideoFrame(bytes, {
        format: 'I420', codedWidth: width, codedHeight: height, timestamp: Math.round((start + frame * frameMs) * 1_000),
      });
      video.write(picture).catch(() => { running = false; });
      frame++;
      if (frame % 30 === 0) self.postMessage({ drawn: frame - skipped, skipped });
    }
    const next = Math.min(start + frame * frameMs, start + block * 10);
    await new Promise((wake) => setTimeout(wake, Math.max(0, next - performance.now())));
  }
}

self.onmessage = ({ data }) => {
  if (data.stallMs) { stalledUntil = performance.now() + data.stallMs; return; }
  run({ ...data, video: data.video.getWriter(), audio: data.audio.getWriter() });
};
