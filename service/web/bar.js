// The search bar: typing, choosing, dropping, pasting and photographing, and the chips of what is mixed in.
import { button, byId, debounced, element } from "./dom.js";
import { MOST_WEIGHT } from "./query.js";

const TYPING_MS = 250;

export function startBar(query, changed) {
  const text = byId("text");
  const images = [byId("image"), byId("camera")];
  const typed = debounced(() => changed({ typing: true }), TYPING_MS);

  function useImage(file) {
    if (!file) return;
    if (!file.type.startsWith("image/")) {
      changed({ refused: `${file.name || "What was given"} is not an image.` });
      return;
    }
    query.image = file;
    drawParts(query, changed);
    changed({});
  }

  text.addEventListener("input", () => { query.text = text.value; typed(); });
  byId("search").addEventListener("submit", (event) => { event.preventDefault(); query.text = text.value; changed({}); });
  for (const image of images) image.addEventListener("change", () => { useImage(image.files[0]); image.value = ""; });
  byId("target").addEventListener("change", (event) => { query.target = event.target.value; changed({}); });
  byId("key-field").addEventListener("submit", () => changed({}));
  document.addEventListener("paste", (event) => useImage([...event.clipboardData.files][0]));
  listenToDrops(useImage);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
      event.preventDefault();
      text.focus();
    }
  });
}

function listenToDrops(useImage) {
  const veil = byId("drop");
  let inside = 0;
  const holdsFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => { if (holdsFile(event)) { inside += 1; veil.hidden = false; } });
  document.addEventListener("dragleave", (event) => { if (holdsFile(event) && --inside <= 0) veil.hidden = true; });
  document.addEventListener("dragover", (event) => { if (holdsFile(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    inside = 0;
    veil.hidden = true;
    useImage(event.dataTransfer.files[0]);
  });
}

// The query as it is, into the fields: after "back", a link or an example.
export function showQuery(query, changed) {
  byId("text").value = query.text;
  for (const choice of byId("target").elements) if (choice.type === "radio") choice.checked = choice.value === query.target;
  drawParts(query, changed);
}

function drawParts(query, changed) {
  const chips = query.parts.map((part) =>
    chip(part.weight > 0 ? `like ${part.label ?? part.id}` : `not ${part.label ?? part.id}`, part.weight < 0 ? "far" : "near", () => {
      query.parts = query.parts.filter((other) => other !== part);
    }, { weight: weightOf(part) }));
  if (query.image) {
    chips.unshift(chip(query.image.name || "pasted image", "near", () => { query.image = null; }, { file: query.image }));
  }

  // How much a part counts beside the words, which count 1.
  function weightOf(part) {
    const input = element("input", { type: "number", min: -MOST_WEIGHT, max: MOST_WEIGHT, step: 0.25, value: part.weight,
      class: "weight", "aria-label": `Weight of ${part.label ?? part.id}` });
    input.addEventListener("change", () => {
      const weight = Math.min(MOST_WEIGHT, Math.max(-MOST_WEIGHT, input.valueAsNumber || part.weight));
      part.weight = weight;
      drawParts(query, changed);
      changed({});
    });
    return input;
  }

  function chip(label, kind, remove, { file = null, weight = null }) {
    const picture = file && element("img", { alt: "" });
    if (picture) {
      picture.src = URL.createObjectURL(file);
      picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
    }
    const cross = button("×", () => { remove(); drawParts(query, changed); changed({}); byId("text").focus(); },
      { class: "plain", "aria-label": `Remove ${label}` });
    return element("span", { class: `chip ${kind}` }, picture, element("span", {}, label), weight, cross);
  }

  byId("parts").replaceChildren(...chips);
}
