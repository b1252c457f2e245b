// Going over a picture's pixels: by mouse, by touch, by keys.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Calls visit({channel, row, column}, byKeys) for the pixel that one is at, and visit(null, false) when there is none
// any more. What was tapped or come to by keys stays until one leaves; Escape leaves. Keys begin in the middle of the
// first tile, and with shift go from tile to tile.
function explore(tiles, visit) {
  const { canvas } = tiles;
  let at = null;
  const go = (place, byKeys = false) => {
    if (!state.frame) return; // there is nothing to see yet
    at = place;
    visit(place, byKeys);
  };
  const pointed = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return tiles.at(event.clientX - left - canvas.clientLeft, event.clientY - top - canvas.clientTop);
  };
  canvas.addEventListener("pointermove", (event) => go(pointed(event) ?? at));
  canvas.addEventListener("pointerdown", (event) => go(pointed(event) ?? at));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && go(null));
  canvas.addEventListener("blur", () => go(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return go(null);
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return undefined;
    event.preventDefault();
    const middle = { channel: 0, row: tiles.height >> 1, column: tiles.width >> 1 };
    const next = event.shiftKey ? tiles.beside(at ?? middle, ...step) : tiles.next(at ?? middle, ...step);
    return go(at ? next ?? at : middle, true);
  });
}
