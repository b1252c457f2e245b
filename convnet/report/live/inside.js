// Every layer's result as tiles, each on a scale of its own.

const TILE = 56, UNIT = 12; // about how wide maps are, and the units of a vector, in CSS pixels

const words = {
  conv: ({ rows, columns, groups }) => `convolution ${rows.kernel} × ${columns.kernel}${spaced(rows, columns)}${groups > 1 ? `, ${groups} groups` : ""}`,
  dense: () => "dense",
  maxPool: ({ rows, columns }) => `largest of each ${rows.kernel} × ${columns.kernel}${spaced(rows, columns)}`,
  avgPool: ({ rows, columns }) => `mean of each ${rows.kernel} × ${columns.kernel}${spaced(rows, columns)}`,
  globalAvgPool: () => "mean of each map",
  batchNorm: () => "batch normalisation",
  standardize: ({ groups }) => (groups === null ? "layer normalisation" : `group normalisation, ${groups} groups`),
  localResponseNorm: ({ size }) => `local response normalisation over ${size} channels`,
  activation: (layer) => layer.function.replaceAll("_", " "),
  residual: (layer) => `${layer.function.replaceAll("_", " ")} of the sum`,
};

function spaced(rows, columns) {
  const told = (name, a, b) => (a > 1 || b > 1 ? `, ${name} ${a === b ? a : `${a} × ${b}`}` : "");
  return told("stride", rows.stride, columns.stride) + told("dilation", rows.dilation, columns.dilation);
}

// The results in the order of the network: {name, shape, words, positive}.
function resultsOf(layers) {
  return layers.flatMap((layer) => {
    if (layer.kind === "residual") {
      const sum = { name: `${layer.name}/sum`, shape: layer.output, words: "body + shortcut", positive: false };
      const own = { name: layer.name, shape: layer.output, words: words.residual(layer), positive: layer.positive };
      return [...resultsOf(layer.body), ...resultsOf(layer.shortcut), sum, own];
    }
    return layer.name ? [{ name: layer.name, shape: layer.output, words: words[layer.kind](layer), positive: layer.positive }] : [];
  });
}

const shapeWords = (shape) => (shape.length === 3 ? `${shape[2]} maps of ${shape[0]} × ${shape[1]}` : `${shape[0]} units`);

let start = 0;
const layers = resultsOf(network.layers).map((result) => {
  const maps = result.shape.length === 3, size = volume(result.shape);
  const canvas = made("canvas", { tabIndex: 0 }), mark = made("div", { className: "mark", hidden: true });
  const legend = made("p", { className: "legend" });
  const told = `${result.words}, ${shapeWords(result.shape)}`;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "picture");
  canvas.setAttribute("aria-label", `${result.name}: ${told}`);
  const section = made("section", { className: "layer" },
    made("h3", { textContent: result.name }), made("p", { className: "told", textContent: told }),
    legend, made("div", { className: "tiles" }, canvas, mark));
  byId("layers").append(section);
  const tiles = new Tiles(canvas, maps ? result.shape : [1, 1, size]);
  const layer = { ...result, maps, start, size, tiles, mark, section, visible: false, legend: new Legend(legend, result.positive ? viridis : redBlue) };
  start += size;
  explore(tiles, (place, byKeys) => look(layer, place, byKeys));
  return layer;
});

function look(layer, place, aloud) {
  outline(layer.mark, place && layer.tiles.place(place.channel, { top: place.row, bottom: place.row, left: place.column, right: place.column }));
  if (!place) return point(null);
  const { channel, row, column } = place;
  const box = receptiveField(network.layers, layer.name, { top: row, bottom: row, left: column, right: column });
  const value = state.frame.results[layer.start + (row * layer.tiles.width + column) * layer.tiles.channels + channel];
  const at = layer.maps ? `map ${channel}, row ${row}, column ${column}` : `unit ${channel}`;
  const seen = `rows ${box.top}–${box.bottom}, columns ${box.left}–${box.right}`;
  return point(box, `${layer.name}, ${at}: ${number(value)}. It sees ${seen} of the image.`, aloud);
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
