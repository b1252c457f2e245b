// Begins with a test image, for something to look at; and what programs may ask of the page.

show(examples[0] ?? null, { demonstration: true });

window.convnet = {
  network,
  // The results of an image, a flat [H, W, C] in 0 … 1: {logits, probabilities, label, gradient, results}, of layers
  // and their results a Map from name to Float32Array.
  async run(image, label = null) {
    const frame = await ask(Float32Array.from(image), { label });
    const ownOf = ({ start, size }) => frame.results.subarray(start, start + size);
    return { ...frame, results: new Map(layers.map((layer) => [layer.name, ownOf(layer)])) };
  },
  // The occlusion map [H, W] of an image.
  occlusion: (image, label = null) => new Promise((resolve) => {
    ask(Float32Array.from(image), { label, onOcclusion: (map, done) => done && resolve(map) });
  }),
  // {top, bottom, left, right}: what a place of a layer's result depends on.
  receptiveField: (name, row = 0, column = 0) => receptiveField(network.layers, name, boxOf({ row, column })),
  // What is shown, and whether there is more to come.
  state,
  busy: () => busy,
};
