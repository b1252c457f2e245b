// The image, its gradient, its occlusion, and the frame of what is looked at.

const LENS = 176; // about how wide they are, in CSS pixels

const lenses = Object.fromEntries(["seen", "gradient", "occlusion"].map((name) => {
  const canvas = byId(name), tiles = new Tiles(canvas, [height, width, 1]);
  tiles.fit(LENS * 2, LENS, 0);
  canvas.style.width = "";
  explore(tiles, (place, byKeys) => {
    const box = place && { top: place.row, bottom: place.row, left: place.column, right: place.column };
    point(box, place ? pixelWords(place) : "", byKeys);
  });
  const legend = canvas.closest("figure").querySelector(".legend");
  return [name, { tiles, mark: canvas.nextElementSibling, legend: new Legend(legend, name === "seen" || (name === "gradient" && channels === 3) ? null : redBlue) }];
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
  const brighter = channels === 3 ? "in the colours that raise it, grey where it stays" : "red raises it, blue lowers it";
  byId("lens-words").textContent =
    `Gradient: how the score (logit) of ${name} changes where a pixel gets brighter: ${brighter}. ` +
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
  const i = row * width + column, own = (values) => Array.from({ length: channels }, (_, c) => number(values[i * channels + c])).join(", ");
  const fall = state.occlusion ? `, occlusion ${number(state.occlusion[i])}` : "";
  return `Row ${row}, column ${column}: ${own(state.image)}, gradient ${own(state.frame.gradient)}${fall}.`;
}

// Frames a box of the image, and says what it is: aloud if one came there by keys.
function point(box, words = "", aloud = false) {
  for (const { tiles, mark } of Object.values(lenses)) outline(mark, box && tiles.place(0, box));
  byId("readout").textContent = words;
  if (aloud) say(words);
}
