// The classes with their probabilities, and which of them gradient and occlusion are of.

const scores = network.class_names.map((name, label) => {
  const fill = made("i"), value = made("span", { className: "value" });
  const title = made("span", { className: "name", textContent: name }), bar = made("span", { className: "bar" }, fill);
  const button = made("button", { type: "button" }, title, bar, value);
  button.setAttribute("aria-pressed", "false");
  const point = (to) => () => {
    if (state.pointed === to) return;
    state.pointed = to;
    update();
  };
  button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && point(label)());
  button.addEventListener("pointerleave", point(null));
  button.addEventListener("focus", () => button.matches(":focus-visible") && point(label)());
  button.addEventListener("blur", point(null));
  button.addEventListener("click", () => {
    state.pinned = state.pinned === label ? null : label;
    scores.forEach((score, other) => score.button.setAttribute("aria-pressed", String(other === state.pinned)));
    update();
  });
  byId("scores").append(made("li", {}, button));
  return { button, fill, value };
});

let announcement; // of the scores, when they have rested: not at every stroke

// What a screen reader is to say.
function say(words) {
  clearTimeout(announcement);
  byId("status").textContent = words;
}

function paintScores({ probabilities, label }) {
  const predicted = largest(probabilities);
  scores.forEach(({ button, fill, value }, k) => {
    fill.style.width = `${100 * probabilities[k]}%`;
    value.textContent = percent(probabilities[k]);
    button.classList.toggle("predicted", k === predicted);
    button.classList.toggle("asked", k === label);
  });
  const verdict = `${network.class_names[predicted]}, ${percent(probabilities[predicted])}`;
  byId("verdict").textContent = verdict;
  clearTimeout(announcement);
  announcement = setTimeout(say, 800, verdict);
}
