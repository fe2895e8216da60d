// A frame number and a send time that a machine can read off a decoded picture.
//
// Two rows of 32 cells across the top of the picture, black or white in luma only, each cell 1/32 of the width and
// 1/18 of the height: 40 by 40 pixels at 720p, so that no encoder setting used here makes one unreadable.
// Row 0: 24 bits of frame number, 8 bits of checksum over both rows. Row 1: the time of drawing in milliseconds
// since the epoch, modulo 2^32. Both ends run on one machine, so the clocks agree.

export const COLUMNS = 32;
const ROWS = 2;
const ROWS_PER_PICTURE = 18;
const BLACK = 16;
const WHITE = 235;

function checksum(frame, time) {
  let sum = 0x5a;
  for (const word of [frame, time]) {
    for (let shift = 0; shift < 32; shift += 8) {
      sum = ((sum << 1) | (sum >> 7)) & 0xff;
      sum ^= (word >>> shift) & 0xff;
    }
  }
  return sum;
}

/** Draws into the luma plane `y` of a picture. */
export function write(y, width, height, frame, timeMs) {
  frame &= 0xffffff;
  timeMs = Math.floor(timeMs) % 2 ** 32 >>> 0;
  const words = [((frame << 8) | checksum(frame, timeMs)) >>> 0, timeMs];
  const cellWidth = width / COLUMNS;
  const cellHeight = Math.floor(height / ROWS_PER_PICTURE);
  for (let row = 0; row < ROWS; row++) {
    const first = row * cellHeight * width;
    for (let column = 0; column < COLUMNS; column++) {
      const value = (words[row] >>> (31 - column)) & 1 ? WHITE : BLACK;
      y.fill(value, first + Math.round(column * cellWidth), first + Math.round((column + 1) * cellWidth));
    }
    for (let line = 1; line < cellHeight; line++) y.copyWithin(first + line * width, first, first + width);
  }
}

/** Where the strip is in a picture of this size; even numbers, as 4:2:0 wants. */
export function strip(width, height) {
  return { x: 0, y: 0, width: width & ~1, height: (Math.floor(height / ROWS_PER_PICTURE) * ROWS) & ~1 };
}

/**
 * Reads the strip. `sample(x, y)` gives brightness 0..255 at a pixel of the strip.
 * Returns `{ frame, timeMs }`, or `null` when the checksum does not hold.
 */
export function read(sample, width, height) {
  const cellWidth = width / COLUMNS;
  const cellHeight = height / ROWS;
  const words = [0, 0];
  for (let row = 0; row < ROWS; row++) {
    const y = Math.floor((row + 0.5) * cellHeight);
    for (let column = 0; column < COLUMNS; column++) {
      const x = Math.floor((column + 0.5) * cellWidth);
      words[row] = ((words[row] << 1) | (sample(x, y) > 125 ? 1 : 0)) >>> 0;
    }
  }
  const frame = words[0] >>> 8;
  return (words[0] & 0xff) === checksum(frame, words[1]) ? { frame, timeMs: words[1] } : null;
}

/** Reads the strip of a `VideoFrame` without converting the picture: only the strip's luma is copied. */
export async function readVideoFrame(picture, scratch) {
  const area = strip(picture.visibleRect.width, picture.visibleRect.height);
  const rect = { ...area, x: picture.visibleRect.x, y: picture.visibleRect.y };
  const size = picture.allocationSize({ rect });
  if (scratch.bytes.length < size) scratch.bytes = new Uint8Array(size);
  const [plane] = await picture.copyTo(scratch.bytes.subarray(0, size), { rect });
  const planar = /^(I4|NV)/.test(picture.format);
  const step = planar ? 1 : 4;
  const first = plane.offset + (planar ? 0 : 1); // green stands for luma in RGB and BGR alike
  return read((x, y) => scratch.bytes[first + y * plane.stride + x * step], area.width, area.height);
}
