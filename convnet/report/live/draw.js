// The pad: drawing on it by mouse, touch, pen and keys, examples and pictures to draw on.

const pad = byId("pad"), surface = pad.getContext("2d"), pen = byId("pen");
const tool = { erases: false, colour: network.pen.ink };

function paintPad() {
  const scale = Math.max(1, Math.ceil((pad.clientWidth * devicePixelRatio) / width)); // whole, so that pixels are alike
  pad.width = width * scale;
  pad.height = height * scale;
  surface.fillStyle = css(network.pen.ground);
  surface.fillRect(0, 0, pad.width, pad.height);
  if (drawing.base) {
    const base = new Tiles(new OffscreenCanvas(width, height), [height, width, 1]);
    base.layOut(1, 1, 0);
    base.paint(grey(drawing.base));
    surface.imageSmoothingEnabled = false;
    surface.drawImage(base.canvas, 0, 0, pad.width, pad.height);
  }
  drawing.trace(surface, scale, { scale: 1, x: 0, y: 0 });
  byId("hint").hidden = !drawing.empty;
  byId("undo").disabled = drawing.strokes.length === 0;
  byId("invert").disabled = !drawing.base;
}

function redraw() {
  paintPad();
  update();
}

function show(base, { demonstration = false } = {}) {
  drawing.clear(base);
  state.demonstration = demonstration;
  redraw();
}

// --- strokes ---------------------------------------------------------------------------------------------------------

function beginStroke(place) {
  if (state.demonstration && !tool.erases) drawing.clear();
  state.demonstration = false;
  drawing.begin(place, tool.colour, tool.erases);
}

const placeOf = (event) => {
  const { left, top, width: wide, height: high } = pad.getBoundingClientRect();
  return [((event.clientX - left) / wide) * width, ((event.clientY - top) / high) * height];
};

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return; // a second finger draws nothing
  pad.setPointerCapture(event.pointerId);
  beginStroke(placeOf(event));
  redraw();
});
pad.addEventListener("pointermove", (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  const events = event.getCoalescedEvents?.() ?? [];
  (events.length ? events : [event]).forEach((one) => drawing.extend(placeOf(one)));
  redraw();
});

// By keys: the pen moves by half a pixel of the image, or a twentieth of its side where that is more.
const keys = { place: null, down: false };
pad.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const step = STEPS[event.key], far = Math.max(0.5, Math.min(height, width) / 20);
  keys.place ??= [width / 2, height / 2];
  if (step) {
    const [x, y] = keys.place;
    keys.place = [Math.min(Math.max(x + far * step[1], 0), width), Math.min(Math.max(y + far * step[0], 0), height)];
    if (keys.down) drawing.extend(keys.place);
  } else if (event.key === " ") {
    keys.down = !keys.down;
    if (keys.down) beginStroke(keys.place);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    keys.down = false;
    show(null);
  } else return;
  event.preventDefault();
  paintPen();
  redraw();
});
pad.addEventListener("blur", () => {
  keys.down = false;
  pen.hidden = true;
});

function paintPen() {
  pen.hidden = false;
  pen.classList.toggle("down", keys.down);
  pen.style.left = `${(100 * keys.place[0]) / width}%`;
  pen.style.top = `${(100 * keys.place[1]) / height}%`;
}

// --- tools -----------------------------------------------------------------------------------------------------------

byId("clear").addEventListener("click", () => show(null));
byId("undo").addEventListener("click", () => {
  drawing.undo();
  keys.down = false;
  redraw();
});
byId("erase").addEventListener("click", ({ currentTarget }) => {
  tool.erases = !tool.erases;
  currentTarget.setAttribute("aria-pressed", String(tool.erases));
});
byId("invert").addEventListener("click", () => {
  drawing.base = drawing.base.map((value) => 1 - value);
  state.demonstration = false;
  redraw();
});
byId("fit")?.addEventListener("change", ({ currentTarget }) => {
  drawing.fitted = currentTarget.checked;
  redraw();
});
byId("colour")?.addEventListener("input", ({ currentTarget }) => {
  tool.colour = [1, 3, 5].map((i) => parseInt(currentTarget.value.slice(i, i + 2), 16) / 255);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) byId("undo").click();
});

// --- pictures --------------------------------------------------------------------------------------------------------

async function take(file) {
  if (!file) return;
  try {
    const { image, size } = await pictureOf(file, network.image_shape);
    show(image);
    point(null, `A picture of ${size} pixels, brought to ${height} × ${width}.`, true);
  } catch (error) {
    point(null, error.message, true);
  }
}

byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ currentTarget }) => {
  take(currentTarget.files[0]);
  currentTarget.value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  pad.classList.add("over");
});
document.addEventListener("dragleave", () => pad.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  pad.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));

// --- examples --------------------------------------------------------------------------------------------------------

const pixels = bytesOf(network.examples.pixels), size = height * width * channels;
const examples = network.examples.labels.map((label, k) => {
  const image = Float32Array.from(pixels.subarray(k * size, (k + 1) * size), (value) => value / 255);
  const canvas = made("canvas"), tiles = new Tiles(canvas, [height, width, 1]);
  tiles.layOut(Math.ceil(56 / width), 1, 0); // twice as fine as it is shown, for sharp screens
  tiles.paint(grey(image));
  const button = made("button", { type: "button" }, canvas);
  button.setAttribute("aria-label", `Test image ${k + 1}: ${network.class_names[label]}`);
  button.title = network.class_names[label];
  button.addEventListener("click", () => show(image));
  byId("examples").append(button);
  return image;
});

new ResizeObserver(paintPad).observe(pad.parentElement);
