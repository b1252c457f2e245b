// The image, its gradient, its occlusion, and the frame of what is looked at.

const LENS = 190; // the most that they are wide, in CSS pixels

const lenses = Object.fromEntries(["seen", "gradient", "occlusion"].map((name) => {
  const canvas = byId(name), tiles = new Tiles(canvas, [height, width, 1]);
  tiles.layOut(Math.ceil(LENS / width), 1, 0);
  explore(tiles, (place, byKeys) => {
    if (place) point(boxOf(place), pixelWords(place), byKeys);
    else point(null);
  });
  const inColours = name === "seen" || (name === "gradient" && channels === 3);
  const legend = new Legend(canvas.closest("figure").querySelector(".legend"), inColours ? null : redBlue);
  return [name, { tiles, mark: canvas.nextElementSibling, legend }];
}));

const grey = (image) => (i) => {
  const [red, green, blue] = [0, 1, 2].map((c) => Math.round(255 * image[i * channels + (c % channels)]));
  return rgba(red, green, blue);
};

// Signed numbers [H, W, C] from blue through white to red; three channels as colours, grey being zero.
function signed(values, limit) {
  const shaded = shade(redBlue, -limit, limit);
  if (channels === 1) return (i) => shaded(values[i]);
  const part = (value) => Math.round(255 * Math.min(Math.max(0.5 + (0.5 * value) / (limit || 1), 0), 1));
  return (i) => rgba(...[0, 1, 2].map((c) => part(values[channels * i + c])));
}

function paintLenses({ gradient, label }) {
  const limit = greatest(gradient), name = network.class_names[label], [rows, columns] = network.occlusion.window;
  lenses.seen.tiles.paint(grey(state.image));
  lenses.gradient.tiles.paint(signed(gradient, limit));
  lenses.gradient.legend.show(-limit, limit);
  const inColours = "in the colours that raise it, grey where it stays", inRedAndBlue = "red raises it, blue lowers it";
  byId("lens-words").textContent =
    `Gradient: how the score (logit) of ${name} changes where a pixel gets brighter: ` +
    `${channels === 3 ? inColours : inRedAndBlue}. ` +
    `Occlusion: how much that score falls where ${rows} × ${columns} pixels are hidden: red is what it rests on.`;
}

function paintOcclusion(map, done) {
  const limit = greatest(map), shaded = shade(redBlue, -limit, limit);
  state.occlusion = map;
  lenses.occlusion.tiles.paint((i) => shaded(map[i]));
  lenses.occlusion.tiles.canvas.classList.toggle("stale", !done);
  lenses.occlusion.legend.show(-limit, limit);
}

function pixelWords({ row, column }) {
  const i = row * width + column;
  const own = (values) => Array.from(values.subarray(i * channels, (i + 1) * channels), number).join(", ");
  const fall = state.occlusion ? `, occlusion ${number(state.occlusion[i])}` : "";
  return `Row ${row}, column ${column}: ${own(state.image)}, gradient ${own(state.frame.gradient)}${fall}.`;
}

// Frames a box of the image, and says what it is: aloud if one came there by keys.
function point(box, words = "", aloud = false) {
  for (const { tiles, mark } of Object.values(lenses)) outline(mark, box && tiles.place(0, box));
  byId("readout").textContent = words;
  if (aloud) say(words);
}
