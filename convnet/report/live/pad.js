// What is drawn, as the network's image: strokes are kept as lines, and laid over a ground or a picture.
//
// Places are in pixels of the network's image, fractions included. Strokes are {points, colour, width, erases};
// `stroke` is the one that goes on.

const FINE = 8; // lines are drawn this many times finer, and each pixel is the mean of its FINE × FINE parts

class Drawing {
  constructor({ image_shape: [height, width, channels], pen }) {
    Object.assign(this, { height, width, channels, pen, fitted: Boolean(pen.box) });
    this.clear();
    this.fine = Math.max(1, Math.min(FINE, Math.floor(1024 / Math.max(height, width))));
    const canvas = new OffscreenCanvas(width * this.fine, height * this.fine);
    this.sheet = canvas.getContext("2d", { willReadFrequently: true });
  }

  get empty() {
    return !this.base && this.strokes.length === 0;
  }

  // base: an image [H, W, C] in 0 … 1 to draw on, or null for the plain ground.
  clear(base = null) {
    this.base = base;
    this.strokes = [];
    this.stroke = null;
  }

  begin(point, colour, erases) {
    const width = this.pen.thickness * (erases ? 2 : 1);
    this.stroke = { points: [point], colour: erases ? this.pen.ground : colour, width, erases };
    this.strokes.push(this.stroke);
  }

  extend(point) {
    this.stroke?.points.push(point);
  }

  undo() {
    this.strokes.pop();
    this.stroke = null;
  }

  // How strokes are moved and enlarged to be as large as the data's, their mass where theirs is: {scale, x, y}.
  get frame() {
    const lines = this.strokes.filter(({ erases }) => !erases).map(({ points }) => points);
    if (!this.fitted || this.base || lines.length === 0) return { scale: 1, x: 0, y: 0 };
    const { thickness, box: [high, wide], centre: [row, column] } = this.pen;
    const [left, right] = range(lines.flat().map(([x]) => x));
    const [top, bottom] = range(lines.flat().map(([, y]) => y));
    const room = (size) => Math.max(size - thickness, 1);
    const scale = Math.min(room(wide) / (right - left || 1e-9), room(high) / (bottom - top || 1e-9), this.height / 2);
    const [x, y] = centreOfLines(lines);
    const held = (low, high, size, wanted) => {
      const least = thickness / 2 - scale * low, most = size - thickness / 2 - scale * high; // the border's
      return Math.min(Math.max(wanted, least), Math.max(least, most));
    };
    const across = held(left, right, this.width, column - scale * x);
    return { scale, x: across, y: held(top, bottom, this.height, row - scale * y) };
  }

  // The strokes on a canvas, `enlarged` times the network's pixels; their width is kept.
  trace(context, enlarged, { scale, x, y }) {
    context.save();
    context.lineCap = context.lineJoin = "round";
    for (const { points, colour, width } of this.strokes) {
      const placed = points.map(([px, py]) => [enlarged * (scale * px + x), enlarged * (scale * py + y)]);
      context.strokeStyle = css(colour);
      context.lineWidth = enlarged * width;
      context.beginPath();
      context.moveTo(...placed[0]);
      for (let i = 1; i < placed.length - 1; i++) { // curves through the middles of what was sampled
        const [a, b] = [placed[i], placed[i + 1]];
        context.quadraticCurveTo(...a, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      }
      const [x1, y1] = placed.at(-1);
      context.lineTo(x1 + 0.01, y1); // a line without any length would leave no dot
      context.stroke();
    }
    context.restore();
  }

  // What the network sees: Float32Array [H, W, C] in 0 … 1.
  get image() {
    const { height, width, channels, fine, sheet } = this;
    const ground = (_, i) => this.pen.ground[i % channels];
    const image = Float32Array.from(this.base ?? { length: height * width * channels }, this.base ? undefined : ground);
    if (this.strokes.length === 0) return image;
    sheet.clearRect(0, 0, width * fine, height * fine);
    this.trace(sheet, fine, this.frame);
    const { data } = sheet.getImageData(0, 0, width * fine, height * fine);
    const covered = new Float64Array(height * width), inks = new Float64Array(height * width * 3);
    for (let y = 0, i = 0; y < height * fine; y++) {
      for (let x = 0; x < width * fine; x++, i += 4) {
        const pixel = Math.floor(y / fine) * width + Math.floor(x / fine), part = data[i + 3] / (255 * fine * fine);
        covered[pixel] += part;
        for (let c = 0; c < 3; c++) inks[3 * pixel + c] += (part * data[i + c]) / 255;
      }
    }
    return image.map((value, i) => {
      const pixel = Math.floor(i / channels);
      return Math.min(Math.max(value * (1 - covered[pixel]) + inks[3 * pixel + (i % channels)], 0), 1);
    });
  }
}

const css = (colour) => `rgb(${[0, 1, 2].map((c) => Math.round(255 * colour[c % colour.length])).join(" ")})`;

// The mean of all points of the lines; of a dot, itself.
function centreOfLines(lines) {
  let [x, y, length] = [0, 0, 0];
  for (const line of lines) {
    for (let i = 1; i < line.length; i++) {
      const [[x0, y0], [x1, y1]] = [line[i - 1], line[i]], own = Math.hypot(x1 - x0, y1 - y0) + 1e-9;
      x += (own * (x0 + x1)) / 2;
      y += (own * (y0 + y1)) / 2;
      length += own;
    }
  }
  return length ? [x / length, y / length] : lines[0][0];
}
