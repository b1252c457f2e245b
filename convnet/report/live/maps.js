// Numbers as pictures: colours, and the tiles that a layer's maps are shown as.

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const rgba = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0; // as canvases keep it

// A colour for each number from `low` to `high`, of a palette of 256.
function shade(palette, low, high) {
  const rate = high > low ? 256 / (high - low) : 0;
  return (value) => palette[Math.min(Math.max(Math.floor((value - low) * rate), 0), 255)];
}

// A palette as a CSS background.
function ramp(palette) {
  const steps = Array.from({ length: 17 }, (_, i) => palette[Math.min(16 * i, 255)]);
  const colours = steps.map((c) => `rgb(${c & 255} ${(c >> 8) & 255} ${(c >> 16) & 255})`);
  return `linear-gradient(to right, ${colours.join(", ")})`;
}

function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

const greatest = (values) => Math.max(...range(values).map(Math.abs));

// A canvas of the channels of [H, W, C], one tile beside the other, each pixel a square of `scale` × `scale`.
class Tiles {
  constructor(canvas, [height, width, channels]) {
    Object.assign(this, { canvas, height, width, channels, columns: 0 });
    this.context = canvas.getContext("2d");
  }

  // Lay out for `room` CSS pixels of width, tiles about `about` wide. Returns whether that changed anything.
  fit(room, about, gap) {
    const scale = Math.max(1, Math.min(Math.round(about / this.width), Math.floor(room / this.width)));
    const most = Math.max(1, Math.floor((room + gap) / (this.width * scale + gap)));
    const columns = Math.ceil(this.channels / Math.ceil(this.channels / most)); // rows of about one length
    if (scale === this.scale && columns === this.columns && gap === this.gap) return false;
    this.layOut(scale, columns, gap);
    this.canvas.style.width = `${this.canvas.width}px`;
    return true;
  }

  layOut(scale, columns, gap) {
    Object.assign(this, { scale, columns, gap });
    this.canvas.width = columns * (this.width * scale + gap) - gap;
    this.canvas.height = Math.ceil(this.channels / columns) * (this.height * scale + gap) - gap;
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  corner(channel) {
    const { columns, gap, height, width, scale } = this;
    return [Math.floor(channel / columns) * (height * scale + gap), (channel % columns) * (width * scale + gap)];
  }

  // colour(i): of value i of the flat [H, W, C].
  paint(colour) {
    const { channels, height, width, scale, pixels } = this, line = this.canvas.width;
    for (let c = 0; c < channels; c++) {
      const [top, left] = this.corner(c);
      for (let h = 0; h < height; h++) {
        const start = (top + h * scale) * line + left;
        for (let w = 0, at = start; w < width; w++) {
          const shown = colour((h * width + w) * channels + c);
          for (let i = 0; i < scale; i++, at++) pixels[at] = shown;
        }
        for (let i = 1; i < scale; i++) pixels.copyWithin(start + i * line, start, start + width * scale);
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  // What is at a point of the canvas, in CSS pixels from its corner: {channel, row, column}, or null between tiles.
  at(x, y) {
    const shown = this.canvas.width / (this.canvas.clientWidth || this.canvas.width);
    const across = this.width * this.scale + this.gap, down = this.height * this.scale + this.gap;
    const i = Math.floor((y * shown) / down), j = Math.floor((x * shown) / across);
    const channel = i * this.columns + j;
    const row = Math.floor((y * shown - i * down) / this.scale);
    const column = Math.floor((x * shown - j * across) / this.scale);
    const onTile = row >= 0 && row < this.height && column >= 0 && column < this.width;
    return onTile && j < this.columns && channel >= 0 && channel < this.channels ? { channel, row, column } : null;
  }

  // Where a box of a channel is on the canvas, in parts of its size.
  place(channel, { top, bottom, left, right }) {
    const [y, x] = this.corner(channel), { scale } = this;
    const { width, height } = this.canvas;
    return {
      top: (y + top * scale) / height, left: (x + left * scale) / width,
      height: ((bottom - top + 1) * scale) / height, width: ((right - left + 1) * scale) / width,
    };
  }

  // The same place in the next tile of a direction; null past the last one.
  beside(place, down, right) {
    const channel = place.channel + down * this.columns + right;
    return channel >= 0 && channel < this.channels ? { ...place, channel } : null;
  }

  // The neighbour of a place in a direction, in the next tile where this one ends; null past the last one.
  next({ channel, row, column }, down, right) {
    const [i, j] = [row + down, column + right], { height, width } = this;
    if (i >= 0 && i < height && j >= 0 && j < width) return { channel, row: i, column: j };
    return this.beside({ channel, row: (i + height) % height, column: (j + width) % width }, down, right);
  }
}

// Puts an outline where `place` says; hides it for null.
function outline(element, place) {
  element.hidden = !place;
  if (place) for (const [side, part] of Object.entries(place)) element.style[side] = `${100 * part}%`;
}
