"use strict";

const form = document.getElementById("search");
const text = document.getElementById("text");
const image = document.getElementById("image");
const key = document.getElementById("key");
const keyField = document.getElementById("key-field");
const target = document.getElementById("target");
const statusLine = document.getElementById("status");
const errorLine = document.getElementById("error");
const results = document.getElementById("results");
const LIMIT = 24;
let latest = 0;

// Text content only, never markup: captions and file names are untrusted.
function element(name, className, content) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = content;
  return made;
}

function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key.value) headers.Authorization = `Bearer ${key.value}`;
  return fetch(path, { ...options, headers });
}

// An image element sends no key, so that with a key the page asks for the file itself.
async function load(thumbnail, path) {
  if (!key.value) {
    thumbnail.src = path;
    return;
  }
  const response = await ask(path);
  if (!response.ok) return;
  thumbnail.addEventListener("load", () => URL.revokeObjectURL(thumbnail.src), { once: true });
  thumbnail.src = URL.createObjectURL(await response.blob());
}

function card(hit) {
  const thumbnail = document.createElement("img");
  load(thumbnail, `/items/${encodeURIComponent(hit.id)}/image`).catch(() => {});
  thumbnail.alt = hit.caption ?? hit.uri;
  thumbnail.loading = "lazy";
  const about = element("div", "about", "");
  if (hit.caption !== null) about.append(element("p", "caption", hit.caption));
  about.append(element("div", "uri", `${hit.score.toFixed(3)} · ${hit.uri}`));
  const entry = document.createElement("li");
  entry.append(thumbnail, about);
  return entry;
}

function request() {
  const options = { limit: LIMIT, with_payload: false };
  if (target.value) options.target = target.value;
  if (!image.files.length) {
    const body = JSON.stringify({ text: text.value, ...options });
    return { method: "POST", headers: { "Content-Type": "application/json" }, body };
  }
  const body = new FormData();
  body.append("image", image.files[0]);
  for (const [name, value] of Object.entries(options)) body.append(name, String(value));
  return { method: "POST", body };
}

async function answerTo(response) {
  if (response.status === 401) keyField.hidden = false;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw new Error(answer?.error?.message ?? `the service answered with status ${response.status}`);
}

function show(answer) {
  const found = answer.results.length === 1 ? "1 hit" : `${answer.results.length} hits`;
  const cached = answer.cached ? ", from the cache" : "";
  const notes = answer.query.notes.map((note) => `; ${note}`).join("");
  statusLine.textContent = `${found} in ${answer.took_ms.toFixed(1)} ms${cached}${notes}`;
  results.replaceChildren(...answer.results.map(card));
}

async function search(event) {
  event.preventDefault();
  const mine = ++latest;
  errorLine.textContent = "";
  statusLine.textContent = "Searching …";
  try {
    const answer = await answerTo(await ask("/search", request()));
    if (mine === latest) show(answer);
  } catch (error) {
    if (mine !== latest) return;
    statusLine.textContent = "";
    results.replaceChildren();
    errorLine.textContent = error.message;
  }
}

async function describe() {
  const info = await answerTo(await ask("/info"));
  document.getElementById("served").textContent =
    `${info.index.images} images and ${info.index.texts} captions, searched by ${info.model.name}`;
}

// One query at a time: entering one clears the other.
text.addEventListener("input", () => { image.value = ""; });
image.addEventListener("change", () => { if (image.files.length) { text.value = ""; form.requestSubmit(); } });
form.addEventListener("submit", search);
key.addEventListener("change", () => { describe().catch(() => {}); });
describe().catch(() => {});

// Links can carry a search: /?text=two dogs on a beach
const linked = new URLSearchParams(location.search).get("text");
if (linked) {
  text.value = linked;
  form.requestSubmit();
}
