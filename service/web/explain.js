// Why this image: where in it each word of the sentence is met (POST /explain), as a map of heat over the picture.
import { post } from "./api.js";
import { button, element } from "./dom.js";

const PIXELS = 256;
const STRONGEST = 0.7;

export async function explained(text, id, picture) {
  const answer = await post("/explain", { text, id });
  const all = answer.words.flatMap((word) => word.cosines.flat());
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const canvas = element("canvas", { class: "heat", "aria-hidden": "true", width: PIXELS, height: PIXELS });
  place(canvas, answer.region);
  picture.append(canvas);
  const said = element("p", { class: "quiet", role: "status" }, "Point at a word, or tab to it.");
  const words = answer.words.map((word) => {
    const best = Math.max(...word.cosines.flat());
    const show = () => {
      words.forEach((other) => other.setAttribute("aria-pressed", String(other === made)));
      paint(canvas, word.cosines, (best - low) / (high - low || 1));
      said.textContent = `“${word.word}” is met best ${where(word.cosines)}, with a cosine of ${best.toFixed(2)}.`;
    };
    const made = button(word.word, show, { class: "word", "aria-pressed": "false" });
    made.style.setProperty("--heat", `${Math.round((100 * (best - low)) / (high - low || 1))}%`);
    made.addEventListener("pointerenter", show);
    made.addEventListener("focus", show);
    return made;
  });
  words.reduce((one, other) => (warmth(other) > warmth(one) ? other : one), words[0])?.click();
  return element("div", { class: "why" }, element("p", { class: "words" }, ...words), said);
}

const warmth = (word) => parseInt(word.style.getPropertyValue("--heat"), 10);

function place(canvas, region) {
  for (const [side, share] of Object.entries(region)) canvas.style[side] = `${100 * share}%`;
}

function where(cosines) {
  const rows = cosines.length;
  const columns = cosines[0].length;
  const flat = cosines.flat();
  const best = flat.indexOf(Math.max(...flat));
  const name = (at, of, first, middle, last) => (at < of / 3 ? first : at + 1 > (2 * of) / 3 ? last : middle);
  const vertical = name(Math.floor(best / columns), rows, "at the top", "in the middle", "at the bottom");
  return `${vertical} ${name(best % columns, columns, "on the left", "", "on the right")}`.trim();
}

// One pixel a cell, blown up smoothly: cells see more than their own square.
// The colours say where this word is met; `warmth`, 0 to 1 among the words, says how well it is met at all.
function paint(canvas, cosines, warmth) {
  const rows = cosines.length;
  const columns = cosines[0].length;
  const small = new OffscreenCanvas(columns, rows);
  const cells = small.getContext("2d").createImageData(columns, rows);
  const [low, high] = [Math.min(...cosines.flat()), Math.max(...cosines.flat())];
  cosines.flat().forEach((cosine, cell) => {
    const heat = high > low ? (cosine - low) / (high - low) : 1;
    cells.data.set([255, 170 - 130 * heat, 20, 255 * STRONGEST * (0.4 + 0.6 * warmth) * heat ** 1.3], 4 * cell);
  });
  small.getContext("2d").putImageData(cells, 0, 0);
  const drawing = canvas.getContext("2d");
  drawing.clearRect(0, 0, PIXELS, PIXELS);
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(small, 0, 0, PIXELS, PIXELS);
}
