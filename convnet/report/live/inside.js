// Every layer's result as tiles, each on a scale of its own.

const TILE = 56, UNIT = 12; // about how wide maps are, and the units of a vector, in CSS pixels

const words = {
  conv: (layer) => `convolution ${windowed(layer)}${layer.groups > 1 ? `, ${layer.groups} groups` : ""}`,
  dense: () => "dense",
  maxPool: (layer) => `largest of each ${windowed(layer)}`,
  avgPool: (layer) => `mean of each ${windowed(layer)}`,
  globalAvgPool: () => "mean of each map",
  batchNorm: () => "batch normalisation",
  standardize: ({ groups }) => (groups === null ? "layer normalisation" : `group normalisation, ${groups} groups`),
  localResponseNorm: ({ size }) => `local response normalisation over ${size} channels`,
  activation: (layer) => layer.function.replaceAll("_", " "),
  residual: (layer) => `${layer.function.replaceAll("_", " ")} of the sum`,
};

function windowed({ rows, columns }) {
  const told = (name, a, b) => (a > 1 || b > 1 ? `, ${name} ${a === b ? a : `${a} × ${b}`}` : "");
  const steps = told("stride", rows.stride, columns.stride) + told("dilation", rows.dilation, columns.dilation);
  return `${rows.kernel} × ${columns.kernel}${steps}`;
}

// The results in the order of the network: {name, shape, words, positive}.
function resultsOf(layers) {
  return layers.flatMap((layer) => {
    const { name, output: shape, positive } = layer;
    if (!name) return [];
    const own = { name, shape, words: words[layer.kind](layer), positive };
    if (layer.kind !== "residual") return [own];
    const sum = { name: `${name}/sum`, shape, words: "body + shortcut", positive: false };
    return [...resultsOf(layer.body), ...resultsOf(layer.shortcut), sum, own];
  });
}

const shapeWords = ([height, width, maps]) => (maps ? `${maps} maps of ${height} × ${width}` : `${height} units`);

let start = 0;
const layers = resultsOf(network.layers).map((result) => {
  const maps = result.shape.length === 3, size = volume(result.shape);
  const canvas = made("canvas", { tabIndex: 0 }), mark = made("div", { className: "mark", hidden: true });
  const colours = made("p", { className: "legend" }), legend = new Legend(colours, result.positive ? viridis : redBlue);
  const told = `${result.words}, ${shapeWords(result.shape)}`;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "picture");
  canvas.setAttribute("aria-label", `${result.name}: ${told}`);
  canvas.setAttribute("aria-describedby", "layers-note");
  const section = made("section", { className: "layer" },
    made("h3", { textContent: result.name }), made("p", { className: "told", textContent: told }),
    colours, made("div", { className: "tiles" }, canvas, mark));
  byId("layers").append(section);
  const tiles = new Tiles(canvas, maps ? result.shape : [1, 1, size]);
  const layer = { ...result, maps, start, size, tiles, mark, section, legend, visible: false };
  start += size;
  explore(tiles, (place, byKeys) => look(layer, place, byKeys));
  return layer;
});

function look(layer, place, aloud) {
  outline(layer.mark, place && layer.tiles.place(place.channel, boxOf(place)));
  if (!place) return point(null);
  const { channel, row, column } = place, box = receptiveField(network.layers, layer.name, boxOf(place));
  const value = state.frame.results[layer.start + (row * layer.tiles.width + column) * layer.tiles.channels + channel];
  const unit = layer === layers.at(-1) ? `class ${network.class_names[channel]}` : `unit ${channel}`;
  const at = layer.maps ? `map ${channel}, row ${row}, column ${column}` : unit;
  const part = `rows ${box.top}–${box.bottom}, columns ${box.left}–${box.right} of the image`;
  const whole = box.top === 0 && box.left === 0 && box.bottom === height - 1 && box.right === width - 1;
  return point(box, `${layer.name}, ${at}: ${number(value)}. It sees ${whole ? "the whole image" : part}.`, aloud);
}

function paintLayer(layer) {
  if (!layer.visible || !state.frame || !layer.tiles.columns) return;
  const values = state.frame.results.subarray(layer.start, layer.start + layer.size);
  const [least, most] = range(values), limit = Math.max(Math.abs(least), Math.abs(most));
  const [low, high] = layer.positive ? [0, most] : [-limit, limit];
  const shaded = shade(layer.positive ? viridis : redBlue, low, high);
  layer.tiles.paint((i) => shaded(values[i]));
  layer.legend.show(low, high);
}

// Only what can be seen is painted, and what comes into sight.
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const layer = layers.find(({ section }) => section === target);
    layer.visible = isIntersecting;
    paintLayer(layer);
  }
}, { rootMargin: "200px" });
layers.forEach(({ section }) => sight.observe(section));

new ResizeObserver(([{ contentRect }]) => {
  for (const layer of layers) {
    const [about, gap] = layer.maps ? [TILE, 4] : [UNIT, 1];
    if (layer.tiles.fit(Math.floor(contentRect.width), about, gap)) paintLayer(layer);
  }
}).observe(byId("layers"));
