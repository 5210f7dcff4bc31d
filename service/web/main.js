// The page: one query, its answers, and the address that leads back to them.
import { openAdd } from "./add.js";
import { json, post } from "./api.js";
import { showQuery, startBar } from "./bar.js";
import { openDetail } from "./detail.js";
import { button, byId, element } from "./dom.js";
import { startFilters } from "./filters.js";
import { emptyQuery, FAR, fromUrl, isEmpty, NEAR, toBody, toUrl } from "./query.js";
import { card, showProblem, skeletons, startArrows, summary } from "./results.js";
import { startStatus } from "./status.js";

const LIMIT = 24;
const MOST = 480;
const EXAMPLES = 6;
const query = fromUrl(location.search);
const list = byId("results");
let running = new AbortController();
let shown = 0;
let complete = true;

const ending = new IntersectionObserver(([end]) => {
  if (end.isIntersecting && !complete && !list.hasAttribute("aria-busy")) search({ more: true });
}, { rootMargin: "400px" });

const actions = {
  open: (hit) => {
    openDetail(hit, query, actions);
    history.replaceState(null, "", toUrl(query, hit.id));
  },
  like: (hit) => mix(hit, NEAR),
  unlike: (hit) => mix(hit, FAR),
  removed: () => search({}),
};

function mix(hit, weight) {
  query.parts = [...query.parts.filter((part) => part.id !== hit.id), { id: hit.id, label: hit.caption ?? hit.uri, weight }];
  showQuery(query, changed);
  changed({});
}

// The item that a link leads to. Without its score, which belongs to a query, where that does not find it.
async function openLinked() {
  const id = new URLSearchParams(location.search).get("open");
  if (!id) return;
  try {
    actions.open(await json(`/items/${encodeURIComponent(id)}`));
  } catch (problem) {
    showProblem(problem, () => location.reload());
  }
}

// Links name items by their ids, which say nothing to people.
async function nameParts() {
  const nameless = query.parts.filter((part) => !part.label);
  if (!nameless.length) return;
  await Promise.allSettled(nameless.map(async (part) => {
    const item = await json(`/items/${encodeURIComponent(part.id)}`);
    part.label = item.caption ?? item.uri;
  }));
  showQuery(query, changed);
}

// `typing` replaces the address instead of adding one to the history; `refused` is what could not be used.
function changed({ typing = false, refused = null }) {
  if (refused) {
    showProblem({ message: refused, help: "Choose a JPEG, PNG, WebP, GIF, BMP or TIFF file." }, () => byId("image").click());
    return;
  }
  const address = toUrl(query);
  if (address !== location.pathname + location.search) history[typing ? "replaceState" : "pushState"](null, "", address);
  search({});
}

async function search({ more = false }) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  showProblem(null);
  byId("start").hidden = !isEmpty(query);
  if (isEmpty(query)) {
    list.replaceChildren();
    [byId("status").textContent, byId("more").textContent, complete] = ["", "", true];
    return;
  }
  if (!more) waiting();
  list.setAttribute("aria-busy", "true");
  try {
    const body = await toBody(query, { limit: LIMIT, offset: more ? shown : 0 });
    const answer = await post("/search", body, { signal });
    if (!signal.aborted) show(answer, more);
  } catch (problem) {
    if (signal.aborted) return;
    complete = more; // what is there stays, and only the rest is asked for again
    if (!more) {
      list.replaceChildren();
      byId("status").textContent = "";
    }
    showProblem(problem, () => { complete = false; search({ more }); });
  } finally {
    if (!signal.aborted) list.removeAttribute("aria-busy");
  }
}

function waiting() {
  if (list.children.length) list.classList.add("stale");
  else list.replaceChildren(...skeletons(8));
}

function show(answer, more) {
  // The best is always as good as itself: only company is worth a word.
  const ties = answer.results.filter((hit) => hit.equally_good).length;
  const cards = answer.results.map((hit) => card({ ...hit, equally_good: hit.equally_good && ties > 1 }, actions));
  list.classList.remove("stale");
  if (more) list.append(...cards);
  else list.replaceChildren(...cards);
  shown = (more ? shown : 0) + cards.length;
  complete = cards.length < LIMIT || shown >= MOST;
  byId("more").textContent = complete && shown ? "That is all." : "";
  byId("status").textContent = shown ? summary(answer, shown) : "Nothing was found. Take a filter away, or search the other kind.";
  // Observed anew, since an end that is still in sight after an answer would not be reported again.
  ending.unobserve(byId("more"));
  if (!complete) ending.observe(byId("more"));
}

async function describe() {
  const info = await json("/info");
  byId("served").textContent = `${info.index.images} images, ${info.index.texts} captions, by ${info.model.name}`;
  if (!info.model.accepts.includes("image")) document.querySelector(".pick").hidden = true;
  const start = byId("start");
  if (!info.index.images && !info.index.texts) {
    start.replaceChildren(element("p", {}, "This gallery is empty. Add images above, or build an index:"),
      element("pre", { tabindex: "0" }, "aahr index rebuild --images FOLDER --model MODEL --out INDEX"));
    return;
  }
  const { examples } = await json(`/facets?examples=${EXAMPLES}`);
  const say = (text) => button(text, () => { query.text = text; showQuery(query, changed); changed({}); }, { class: "example" });
  start.replaceChildren(element("p", {}, examples.length ? "For example:" : "Type what you look for."), element("p", { class: "examples" }, ...examples.map(say)));
}

function startTheme() {
  const root = document.documentElement;
  root.dataset.theme = localStorage.getItem("theme") ?? "";
  byId("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    localStorage.setItem("theme", root.dataset.theme = dark ? "light" : "dark");
  });
}

function startSearch() {
  startBar(query, changed);
  startArrows(list);
  byId("detail").addEventListener("close", () => history.replaceState(null, "", toUrl(query)));
  showQuery(query, changed);
  window.addEventListener("popstate", () => {
    byId("detail").close();
    Object.assign(query, emptyQuery(), fromUrl(location.search));
    showQuery(query, changed);
    startFilters(query, changed).catch(() => {});
    lookAt();
  });
  lookAround();
  byId("key-field").addEventListener("submit", lookAround);
  lookAt();
}

// What the address says: its query, the names of what is mixed in, and the item that is open.
function lookAt() {
  search({});
  nameParts();
  openLinked();
}

function lookAround() {
  describe().catch((problem) => { if (problem.status !== 401) showProblem(problem, () => location.reload()); });
  startFilters(query, changed).catch(() => {});
}

startTheme();
byId("key-field").addEventListener("submit", (event) => event.preventDefault());
byId("add").addEventListener("click", () => openAdd(() => { describe().catch(() => {}); search({}); }));
if (location.pathname === "/status") {
  byId("search-view").hidden = true;
  byId("add").hidden = true;
  byId("status-view").hidden = false;
  startStatus();
} else {
  startSearch();
}
