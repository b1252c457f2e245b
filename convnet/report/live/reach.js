// Receptive fields: which part of the image a place of a layer's result depends on. Nothing is computed.
//
// A part is a box {top, bottom, left, right} of rows and columns, the last ones included; of a vector it is all of it.

const boxOf = ({ row, column }) => ({ top: row, bottom: row, left: column, right: column });
const everything = ([height, width]) => ({ top: 0, bottom: height - 1, left: 0, right: (width ?? 1) - 1 });
const union = (a, b) => ({
  top: Math.min(a.top, b.top), bottom: Math.max(a.bottom, b.bottom),
  left: Math.min(a.left, b.left), right: Math.max(a.right, b.right),
});

// The elements that windows from p to q read along an axis; padding is not the image's, so the border cuts them off.
function read(axis, size, p, q) {
  const last = first(axis, q) + (axis.kernel - 1) * axis.dilation;
  return [Math.max(first(axis, p), 0), Math.min(last, size - 1)];
}

function readBox({ rows, columns, input }, box) {
  const [top, bottom] = read(rows, input[0], box.top, box.bottom);
  const [left, right] = read(columns, input[1], box.left, box.right);
  return { top, bottom, left, right };
}

const same = (_, box) => box;
const all = (layer) => everything(layer.input);

// What a box of a layer's output reads of its input.
const READS = {
  conv: readBox, maxPool: readBox, avgPool: readBox,
  dense: all, flatten: all, globalAvgPool: all,
  activation: same, batchNorm: same, localResponseNorm: same,
  standardize: (layer, box) => (layer.groups === null ? box : everything(layer.input)),
  preprocess: (part, { top, bottom, left, right }) => ({
    top: top + part.top, bottom: bottom + part.top, left: left + part.left, right: right + part.left,
  }),
  residual: (layer, box) => union(reads(layer.body, box), reads(layer.shortcut, box)),
};

const reads = (layers, box) => layers.reduceRight((found, layer) => READS[layer.kind](layer, found), box);

// The part of the layers' input that a box of the result called `name` depends on; null where there is no such result.
function receptiveField(layers, name, box) {
  for (const [number, layer] of layers.entries()) {
    const inside = [layer.body, layer.shortcut].map((part) => part && receptiveField(part, name, box)).find(Boolean);
    const own = layer.name === name || (layer.kind === "residual" && `${layer.name}/sum` === name);
    const found = own ? READS[layer.kind](layer, box) : inside;
    if (found) return reads(layers.slice(0, number), found);
  }
  return null;
}
