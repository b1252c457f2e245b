// The page: what is drawn goes to the network, and what comes back is shown.

const byId = (id) => document.getElementById(id);
const network = JSON.parse(byId("network").textContent);
const [height, width, channels] = network.image_shape;
const weights = new Float32Array(bytesOf(byId("weights").textContent).buffer);
const paletteOf = (name) => new Uint32Array(bytesOf(network.palettes[name]).buffer);
const viridis = paletteOf("viridis"), redBlue = paletteOf("RdBu_r");
const ask = client(network, weights, byId("engine").textContent);
const drawing = new Drawing(network);

const number = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
const percent = (part) => `${(100 * part).toFixed(1)} %`;
const made = (tag, attributes = {}, ...inside) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...inside);
  return element;
};

// A palette between the numbers at its ends.
class Legend {
  constructor(element, palette) {
    Object.assign(this, { low: made("span"), high: made("span") });
    if (!palette) return;
    const bar = made("i");
    bar.style.background = ramp(palette);
    element.append(this.low, bar, this.high);
  }

  show(low, high) {
    this.low.textContent = number(low);
    this.high.textContent = number(high);
  }
}

const state = {
  image: drawing.image, // [H, W, C] in 0 … 1
  demonstration: false, // the image is one that nobody chose: the first stroke clears it
  pinned: null, pointed: null, // the class asked about, null: the predicted one
  frame: null, // the latest answer
  occlusion: null, // its map, as far as it is known
  times: { compute: 0, paint: 0 },
};
let changed = false, busy = false;

// Computes and shows the image as it is now; what changes while that goes on becomes one more frame.
async function update() {
  changed = true;
  if (busy) return;
  busy = true;
  const slow = setTimeout(() => { byId("readout").textContent = "Computing …"; }, 500);
  while (changed) {
    changed = false;
    const image = drawing.image;
    lenses.occlusion.tiles.canvas.classList.add("stale"); // until its map comes
    const frame = await ask(image, { label: state.pointed ?? state.pinned, onOcclusion: paintOcclusion });
    await new Promise(requestAnimationFrame);
    const begun = performance.now();
    Object.assign(state, { image, frame });
    paint();
    state.times = { compute: frame.time, paint: performance.now() - begun };
  }
  clearTimeout(slow);
  if (byId("readout").textContent === "Computing …") byId("readout").textContent = "";
  busy = false;
}

function paint() {
  paintScores(state.frame);
  paintLenses(state.frame);
  layers.forEach(paintLayer);
}
