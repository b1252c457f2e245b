// Picture files, brought to the network's size: stretched, laid over white, grey where the network has one channel.

async function pictureOf(file, [height, width, channels]) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name ?? "That"} is no picture that can be read.`);
  }
  let source = bitmap, [w, h] = [bitmap.width, bitmap.height];
  while (w > 2 * width || h > 2 * height) { // by halves, so that every pixel counts
    [w, h] = [Math.max(Math.ceil(w / 2), Math.min(w, width)), Math.max(Math.ceil(h / 2), Math.min(h, height))];
    source = drawn(source, w, h).canvas;
  }
  const { data } = drawn(source, width, height).getImageData(0, 0, width, height);
  const image = new Float32Array(height * width * channels);
  for (let i = 0; i < height * width; i++) {
    const [red, green, blue] = [data[4 * i] / 255, data[4 * i + 1] / 255, data[4 * i + 2] / 255];
    if (channels === 3) image.set([red, green, blue], 3 * i);
    else image[i] = 0.299 * red + 0.587 * green + 0.114 * blue; // as Pillow makes them grey
  }
  return { image, size: `${bitmap.height} × ${bitmap.width}` };
}

function drawn(source, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context;
}
